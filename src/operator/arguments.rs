//! An operator's arguments: named fields, generic over what stands for each of them.

pub use super::packed::{Packed, PackedLayout};
pub use crate::error::Name;

/// An argument that holds either floats or integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatOrInteger<F, I> {
    /// Floats.
    Float(F),
    /// Integers.
    Integer(I),
}

impl<F, I> FloatOrInteger<F, I> {
    /// The floats, if it holds floats.
    pub fn float(self) -> Option<F> {
        match self {
            FloatOrInteger::Float(value) => Some(value),
            FloatOrInteger::Integer(_) => None,
        }
    }
}

impl<T> FloatOrInteger<T, T> {
    /// What it holds.
    pub(crate) fn either(self) -> T {
        match self {
            FloatOrInteger::Float(value) | FloatOrInteger::Integer(value) => value,
        }
    }
}

/// A struct of arguments, generic over what stands for float arguments (`F`) and integer arguments (`I`).
/// `arguments!` implements it.
pub trait Arguments {
    /// The struct with these type arguments.
    type Of<F, I>;

    /// Maps each argument, in the order of the fields.
    fn try_map<'a, F, I, G, J, E>(
        of: &'a Self::Of<F, I>,
        by: &mut impl Map<'a, F, I, G, J, E>,
    ) -> Result<Self::Of<G, J>, E>;

    /// Builds the struct from arguments that are looked up by name.
    fn build<F, I, E>(from: &mut dyn Source<F, I, E>) -> Result<Self::Of<F, I>, E>;
}

/// Maps one argument in [`Arguments::try_map`].
pub trait Map<'a, F, I, G, J, E> {
    /// Maps a float argument.
    fn float(&mut self, name: Name, value: &'a F) -> Result<G, E>;
    /// Maps an integer argument.
    fn integer(&mut self, name: Name, value: &'a I) -> Result<J, E>;
    /// Is told of an optional argument that is absent.
    fn absent(&mut self, _: Name) {}
    /// Is told the layout of the packed argument that comes next.
    fn layout(&mut self, _: PackedLayout) {}
}

/// Looks arguments up for [`Arguments::build`].
pub trait Source<F, I, E> {
    /// An argument of floats or integers, if it is present.
    fn either(&mut self, name: Name) -> Result<Option<FloatOrInteger<F, I>>, E>;
    /// The length of a list.
    fn count(&mut self, field: &'static str) -> usize;
    /// The layout of a packed argument, if it is present.
    fn layout(&mut self, name: Name) -> Option<PackedLayout>;
    /// The error about a wrong argument.
    fn wrong(&self, name: Name, expected: &str, actual: &str) -> E;
    /// The error about a missing argument.
    fn missing(&mut self, name: Name) -> E;

    /// A float argument, if it is present.
    fn float(&mut self, name: Name) -> Result<Option<F>, E> {
        match self.either(name)? {
            Some(FloatOrInteger::Integer(_)) => Err(self.wrong(name, "floats", "integers")),
            Some(FloatOrInteger::Float(value)) => Ok(Some(value)),
            None => Ok(None),
        }
    }

    /// An integer argument, if it is present.
    fn integer(&mut self, name: Name) -> Result<Option<I>, E> {
        match self.either(name)? {
            Some(FloatOrInteger::Float(_)) => Err(self.wrong(name, "integers", "floats")),
            Some(FloatOrInteger::Integer(value)) => Ok(Some(value)),
            None => Ok(None),
        }
    }

    /// A list of float arguments, if it is present where an operator asks for one itself.
    fn list(&mut self, _field: &'static str) -> Result<Option<Vec<F>>, E> {
        Ok(None)
    }
}

/// Defines a struct of arguments and implements [`Arguments`] for it. A field is a `float`, an `integer`, `either T`
/// (where `T` has `split` and `join`), an `optional float`, `optional integer` or `optional_either T`, a `packed float`, which is optional too,
/// a `list float`, or a `sparse float`, which is a list whose items are optional.
macro_rules! arguments {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident<$($parameter:ident),+> {
            $($(#[$doc:meta])* $field:ident: $kind:ident $($of:ident)?),* $(,)?
        }
    ) => {
        $crate::operator::arguments::structure!(
            [
                $(#[$meta])*
                ///
                /// Fields may be added later: set optional fields on what `new` returns, or end a literal with `..` and
                /// that.
                #[derive(Debug, Clone, PartialEq)]
            ]
            $visibility $name<$($parameter),+> [] [] []
            $($(#[$doc])* $field: $kind $($of)?,)*
        );

        impl $crate::operator::Arguments for $name<$($crate::operator::arguments::argument!(unit $parameter)),+> {
            type Of<F, I> = $name<$($parameter),+>;

            fn try_map<'a, F, I, G, J, E>(
                of: &'a Self::Of<F, I>,
                by: &mut impl $crate::operator::Map<'a, F, I, G, J, E>,
            ) -> ::std::result::Result<Self::Of<G, J>, E> {
                Ok($name {
                    $($field: $crate::operator::arguments::argument!(
                        map by, stringify!($field), &of.$field, $kind $($of)?
                    )),*
                })
            }

            fn build<F, I, E>(
                from: &mut dyn $crate::operator::Source<F, I, E>,
            ) -> ::std::result::Result<Self::Of<F, I>, E> {
                Ok($name {
                    $($field: $crate::operator::arguments::argument!(
                        build from, stringify!($field), $kind $($of)?
                    )),*
                })
            }
        }
    };
}
pub(crate) use arguments;

/// The struct, whose fields are read one by one, and `new`, which takes those that are not optional.
macro_rules! structure {
    (
        [$($meta:tt)*] $visibility:vis $name:ident<$($p:ident),+> [$($fields:tt)*] [$($new:tt)*] [$($init:tt)*]
        $(#[$doc:meta])* $field:ident: float, $($rest:tt)*
    ) => {
        $crate::operator::arguments::structure!(
            [$($meta)*] $visibility $name<$($p),+>
            [$($fields)* $(#[$doc])* pub $field: F,] [$($new)* $field: F,] [$($init)* $field,] $($rest)*
        );
    };
    (
        [$($meta:tt)*] $visibility:vis $name:ident<$($p:ident),+> [$($fields:tt)*] [$($new:tt)*] [$($init:tt)*]
        $(#[$doc:meta])* $field:ident: integer, $($rest:tt)*
    ) => {
        $crate::operator::arguments::structure!(
            [$($meta)*] $visibility $name<$($p),+>
            [$($fields)* $(#[$doc])* pub $field: I,] [$($new)* $field: I,] [$($init)* $field,] $($rest)*
        );
    };
    (
        [$($meta:tt)*] $visibility:vis $name:ident<$($p:ident),+> [$($fields:tt)*] [$($new:tt)*] [$($init:tt)*]
        $(#[$doc:meta])* $field:ident: either $of:ident, $($rest:tt)*
    ) => {
        $crate::operator::arguments::structure!(
            [$($meta)*] $visibility $name<$($p),+>
            [$($fields)* $(#[$doc])* pub $field: $of<I, F>,] [$($new)* $field: $of<I, F>,] [$($init)* $field,] $($rest)*
        );
    };
    (
        [$($meta:tt)*] $visibility:vis $name:ident<$($p:ident),+> [$($fields:tt)*] [$($new:tt)*] [$($init:tt)*]
        $(#[$doc:meta])* $field:ident: optional_either $of:ident, $($rest:tt)*
    ) => {
        $crate::operator::arguments::structure!(
            [$($meta)*] $visibility $name<$($p),+>
            [$($fields)* $(#[$doc])* pub $field: Option<$of<I, F>>,] [$($new)*] [$($init)* $field: None,] $($rest)*
        );
    };
    (
        [$($meta:tt)*] $visibility:vis $name:ident<$($p:ident),+> [$($fields:tt)*] [$($new:tt)*] [$($init:tt)*]
        $(#[$doc:meta])* $field:ident: list float, $($rest:tt)*
    ) => {
        $crate::operator::arguments::structure!(
            [$($meta)*] $visibility $name<$($p),+>
            [$($fields)* $(#[$doc])* pub $field: Vec<F>,] [$($new)* $field: Vec<F>,] [$($init)* $field,] $($rest)*
        );
    };
    (
        [$($meta:tt)*] $visibility:vis $name:ident<$($p:ident),+> [$($fields:tt)*] [$($new:tt)*] [$($init:tt)*]
        $(#[$doc:meta])* $field:ident: sparse float, $($rest:tt)*
    ) => {
        $crate::operator::arguments::structure!(
            [$($meta)*] $visibility $name<$($p),+>
            [$($fields)* $(#[$doc])* pub $field: Vec<Option<F>>,] [$($new)*] [$($init)* $field: Vec::new(),] $($rest)*
        );
    };
    (
        [$($meta:tt)*] $visibility:vis $name:ident<$($p:ident),+> [$($fields:tt)*] [$($new:tt)*] [$($init:tt)*]
        $(#[$doc:meta])* $field:ident: packed float, $($rest:tt)*
    ) => {
        $crate::operator::arguments::structure!(
            [$($meta)*] $visibility $name<$($p),+>
            [$($fields)* $(#[$doc])* pub $field: Option<$crate::operator::Packed<F>>,] [$($new)*]
            [$($init)* $field: None,] $($rest)*
        );
    };
    (
        [$($meta:tt)*] $visibility:vis $name:ident<$($p:ident),+> [$($fields:tt)*] [$($new:tt)*] [$($init:tt)*]
        $(#[$doc:meta])* $field:ident: optional float, $($rest:tt)*
    ) => {
        $crate::operator::arguments::structure!(
            [$($meta)*] $visibility $name<$($p),+>
            [$($fields)* $(#[$doc])* pub $field: Option<F>,] [$($new)*] [$($init)* $field: None,] $($rest)*
        );
    };
    (
        [$($meta:tt)*] $visibility:vis $name:ident<$($p:ident),+> [$($fields:tt)*] [$($new:tt)*] [$($init:tt)*]
        $(#[$doc:meta])* $field:ident: optional integer, $($rest:tt)*
    ) => {
        $crate::operator::arguments::structure!(
            [$($meta)*] $visibility $name<$($p),+>
            [$($fields)* $(#[$doc])* pub $field: Option<I>,] [$($new)*] [$($init)* $field: None,] $($rest)*
        );
    };
    // Nothing is required.
    ([$($meta:tt)*] $visibility:vis $name:ident<$($p:ident),+> [$($fields:tt)*] [] [$($init:tt)*]) => {
        $($meta)*
        $visibility struct $name<$($p),+> {
            $($fields)*
        }

        impl<$($p),+> $name<$($p),+> {
            /// None of them. Set those that there are in the fields.
            $visibility fn new() -> Self {
                $name { $($init)* }
            }
        }

        impl<$($p),+> Default for $name<$($p),+> {
            fn default() -> Self {
                Self::new()
            }
        }
    };
    ([$($meta:tt)*] $visibility:vis $name:ident<$($p:ident),+> [$($fields:tt)*] [$($new:tt)*] [$($init:tt)*]) => {
        $($meta)*
        $visibility struct $name<$($p),+> {
            $($fields)*
        }

        impl<$($p),+> $name<$($p),+> {
            /// Takes the required arguments. Set optional ones in the fields.
            $visibility fn new($($new)*) -> Self {
                $name { $($init)* }
            }
        }
    };
}
pub(crate) use structure;

/// The code for one field.
macro_rules! argument {
    (unit $parameter:ident) => { () };

    (map $by:ident, $name:expr, $value:expr, float) => { $by.float($name.into(), $value)? };
    (map $by:ident, $name:expr, $value:expr, integer) => { $by.integer($name.into(), $value)? };
    (map $by:ident, $name:expr, $value:expr, either $target:ident) => {
        $target::join(match $value.split() {
            $crate::operator::FloatOrInteger::Float(value) => {
                $crate::operator::FloatOrInteger::Float($by.float($name.into(), value)?)
            }
            $crate::operator::FloatOrInteger::Integer(value) => {
                $crate::operator::FloatOrInteger::Integer($by.integer($name.into(), value)?)
            }
        })
    };
    (map $by:ident, $name:expr, $value:expr, optional_either $target:ident) => {
        match $value {
            Some(value) => Some($crate::operator::arguments::argument!(map $by, $name, value, either $target)),
            None => {
                $by.absent($name.into());
                None
            }
        }
    };
    (map $by:ident, $name:expr, $value:expr, optional $kind:ident) => {
        match $value {
            Some(value) => Some($crate::operator::arguments::argument!(map $by, $name, value, $kind)),
            None => {
                $by.absent($name.into());
                None
            }
        }
    };
    (map $by:ident, $name:expr, $value:expr, packed float) => {
        match $value {
            Some(packed) => {
                $by.layout(packed.layout);
                let data = $by.float($name.into(), &packed.data)?;
                Some($crate::operator::Packed { data, layout: packed.layout })
            }
            None => {
                $by.absent($name.into());
                None
            }
        }
    };
    (map $by:ident, $name:expr, $value:expr, list float) => {{
        let name = |index| $crate::operator::arguments::Name { field: $name, index: Some(index) };
        let each = $value.iter().enumerate().map(|(index, value)| $by.float(name(index), value));
        each.collect::<::std::result::Result<_, E>>()?
    }};

    (map $by:ident, $name:expr, $value:expr, sparse float) => {{
        let name = |index| $crate::operator::arguments::Name { field: $name, index: Some(index) };
        let mut list = Vec::new();
        for (index, value) in $value.iter().enumerate() {
            list.push(match value {
                Some(value) => Some($by.float(name(index), value)?),
                None => {
                    $by.absent(name(index));
                    None
                }
            });
        }
        list
    }};

    (build $from:ident, $name:expr, sparse float) => {{
        let name = |index| $crate::operator::arguments::Name { field: $name, index: Some(index) };
        (0..$from.count($name)).map(|index| $from.float(name(index))).collect::<::std::result::Result<_, E>>()?
    }};
    (build $from:ident, $name:expr, optional float) => { $from.float($name.into())? };
    (build $from:ident, $name:expr, optional integer) => { $from.integer($name.into())? };
    (build $from:ident, $name:expr, packed float) => {
        match $from.layout($name.into()) {
            Some(layout) => $from.float($name.into())?.map(|data| $crate::operator::Packed { data, layout }),
            None => None,
        }
    };
    (build $from:ident, $name:expr, list float) => {{
        let name = |index| $crate::operator::arguments::Name { field: $name, index: Some(index) };
        let mut list = Vec::new();
        for index in 0..$from.count($name) {
            list.push(match $from.float(name(index))? {
                Some(value) => value,
                None => return Err($from.missing(name(index))),
            });
        }
        list
    }};
    (build $from:ident, $name:expr, optional_either $target:ident) => { $from.either($name.into())?.map($target::join) };
    (build $from:ident, $name:expr, either $target:ident) => {
        match $from.either($name.into())? {
            Some(value) => $target::join(value),
            None => return Err($from.missing($name.into())),
        }
    };
    (build $from:ident, $name:expr, $kind:ident) => {
        match $from.$kind($name.into())? {
            Some(value) => value,
            None => return Err($from.missing($name.into())),
        }
    };
}
pub(crate) use argument;
