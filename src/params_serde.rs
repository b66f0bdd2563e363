//! Parameters by serde: under PyTorch's names, with values as PyTorch writes them.

mod value;

use serde::de::{Deserialize, Deserializer, Error, MapAccess};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::Padding;

pub(crate) use value::Value;

const WHOLE: &str = "a whole number";
const SIZE: &str = "a whole number of 0 or more";
const PAIR: &str = "a whole number of 0 or more, or two of them";
const PADDING: &str = "\"same\", \"valid\", a whole number of 0 or more, or two of them";

/// What can be a parameter.
pub(crate) trait Parameter: Sized {
    /// What a value must be, in words.
    const EXPECTED: &str;

    fn read(value: &Value) -> Option<Self>;
}

fn integer<T: TryFrom<i128>>(value: &Value) -> Option<T> {
    match value {
        Value::Integer(integer) => T::try_from(*integer).ok(),
        _ => None,
    }
}

macro_rules! integers {
    ($($integer:ty: $expected:expr),*) => {
        $(impl Parameter for $integer {
            const EXPECTED: &str = $expected;

            fn read(value: &Value) -> Option<Self> {
                integer(value)
            }
        })*
    };
}
integers!(usize: SIZE, isize: WHOLE, i64: WHOLE);

impl Parameter for Option<i64> {
    const EXPECTED: &str = WHOLE;

    fn read(value: &Value) -> Option<Self> {
        if matches!(value, Value::None) { Some(None) } else { integer(value).map(Some) }
    }
}

impl Parameter for Vec<isize> {
    const EXPECTED: &str = "a list of whole numbers";

    fn read(value: &Value) -> Option<Self> {
        if let Value::List(list) = value { list.iter().map(integer).collect() } else { None }
    }
}

impl Parameter for f64 {
    const EXPECTED: &str = "a number";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(integer) => Some(*integer as f64),
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }
}

impl Parameter for f32 {
    const EXPECTED: &str = f64::EXPECTED;

    fn read(value: &Value) -> Option<Self> {
        f64::read(value).map(|number| number as f32)
    }
}

impl Parameter for bool {
    const EXPECTED: &str = "true or false";

    fn read(value: &Value) -> Option<Self> {
        if let Value::Flag(flag) = value { Some(*flag) } else { None }
    }
}

impl Parameter for [usize; 2] {
    const EXPECTED: &str = PAIR;

    fn read(value: &Value) -> Option<Self> {
        match value {
            // PyTorch takes a list of one number for both.
            Value::List(list) if list.len() == 1 => integer(&list[0]).map(|both| [both, both]),
            value => pair_or_number(value),
        }
    }
}

/// Two numbers, or one for both. Unlike PyTorch, torchvision takes no list of one.
fn pair_or_number(value: &Value) -> Option<[usize; 2]> {
    match value {
        Value::List(list) => match &list[..] {
            [first, second] => Some([integer(first)?, integer(second)?]),
            _ => None,
        },
        value => integer(value).map(|both| [both, both]),
    }
}

/// [`pair_or_number`], or what it expects.
pub(crate) fn strict_pair(value: &Value) -> Result<[usize; 2], &'static str> {
    pair_or_number(value).ok_or(PAIR)
}

impl Parameter for Option<f64> {
    const EXPECTED: &str = f64::EXPECTED;

    fn read(value: &Value) -> Option<Self> {
        if matches!(value, Value::None) { Some(None) } else { f64::read(value).map(Some) }
    }
}

/// Two numbers or one for both, each of which may be none.
impl Parameter for [Option<usize>; 2] {
    const EXPECTED: &str = "a whole number of 0 or more, or two of them or null";

    fn read(value: &Value) -> Option<Self> {
        let one = |value: &Value| if matches!(value, Value::None) { Some(None) } else { integer(value).map(Some) };
        match value {
            Value::List(list) if list.len() == 2 => Some([one(&list[0])?, one(&list[1])?]),
            value => integer(value).map(|both| [Some(both); 2]),
        }
    }
}

impl Parameter for Option<bool> {
    const EXPECTED: &str = bool::EXPECTED;

    fn read(value: &Value) -> Option<Self> {
        if matches!(value, Value::None) { Some(None) } else { bool::read(value).map(Some) }
    }
}

impl Parameter for [f64; 2] {
    const EXPECTED: &str = "two numbers";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::List(list) if list.len() == 2 => Some([f64::read(&list[0])?, f64::read(&list[1])?]),
            _ => None,
        }
    }
}

/// Two numbers or one for both, or none.
impl Parameter for Option<[f64; 2]> {
    const EXPECTED: &str = "a number, or two of them";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::None => Some(None),
            value => <[f64; 2]>::read(value).or_else(|| f64::read(value).map(|both| [both; 2])).map(Some),
        }
    }
}

/// [`strict_pair`], or none.
pub(crate) fn strict_pair_or_none(value: &Value) -> Result<Option<[usize; 2]>, &'static str> {
    if matches!(value, Value::None) { Ok(None) } else { strict_pair(value).map(Some) }
}

/// A pool's stride. An empty list also means none.
impl Parameter for Option<[usize; 2]> {
    const EXPECTED: &str = PAIR;

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::None => Some(None),
            Value::List(list) if list.is_empty() => Some(None),
            value => <[usize; 2]>::read(value).map(Some),
        }
    }
}

impl Parameter for Padding {
    const EXPECTED: &str = PADDING;

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => match text.as_str() {
                "same" => Some(Padding::Same),
                "valid" => Some(Padding::Valid),
                _ => None,
            },
            value => amounts(value).ok(),
        }
    }
}

/// Padding as numbers, where no word stands for it. Numbers for each side, which no function of PyTorch's takes, are an
/// object.
pub(crate) fn amounts(value: &Value) -> Result<Padding, &'static str> {
    let Value::Object(sides) = value else {
        return by_type(value).map(Padding::Explicit);
    };
    let side = |wanted| strict_pair(&sides.iter().find(|(name, _)| name == wanted).ok_or(PAIR)?.1);
    let amounts = [side("rows")?, side("cols")?];
    if sides.len() == 2 { Ok(Padding::Sides(amounts)) } else { Err(PAIR) }
}

impl Serialize for Padding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Padding::Explicit(pair) => pair.serialize(serializer),
            Padding::Sides([rows, cols]) => {
                let mut sides = serializer.serialize_map(Some(2))?;
                sides.serialize_entry("rows", rows)?;
                sides.serialize_entry("cols", cols)?;
                sides.end()
            }
            Padding::Same => serializer.serialize_str("same"),
            Padding::Valid => serializer.serialize_str("valid"),
        }
    }
}

impl<'de> Deserialize<'de> for Padding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer)
    }
}

pub(crate) fn deserialize<'de, T: Parameter, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    T::read(&value).ok_or_else(|| Error::custom(format!("expected {}, got {value:?}", T::EXPECTED)))
}

/// Reads the next value of a map, which is the parameter `name`.
pub(crate) fn next_value<'de, T, A: MapAccess<'de>>(
    map: &mut A,
    name: &str,
    read: impl Fn(&Value) -> Result<T, &'static str>,
) -> Result<T, A::Error> {
    let value: Value = map.next_value()?;
    read(&value).map_err(|expected| Error::custom(format!("{name}: expected {expected}, got {value:?}")))
}

/// Reads a value as its type does, or tells what that expects.
pub(crate) fn by_type<T: Parameter>(value: &Value) -> Result<T, &'static str> {
    T::read(value).ok_or(T::EXPECTED)
}

/// Implements [`Parameter`], Serialize and Deserialize for an enum that is written as a text.
macro_rules! texts {
    (
        $type:ident: $first:literal => $first_variant:ident $(, $text:literal => $variant:ident)*
        or $last:literal => $last_variant:ident
    ) => {
        const _: () = {
            use serde::{de, ser};
            use $crate::params_serde::{Parameter, Value, deserialize};

            impl Parameter for $type {
                const EXPECTED: &str = concat!("\"", $first, "\"", $(", \"", $text, "\"",)* " or \"", $last, "\"");

                fn read(value: &Value) -> Option<Self> {
                    let Value::Text(text) = value else { return None };
                    match text.as_str() {
                        $first => Some($type::$first_variant),
                        $($text => Some($type::$variant),)*
                        $last => Some($type::$last_variant),
                        _ => None,
                    }
                }
            }

            impl ser::Serialize for $type {
                fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_str(match self {
                        $type::$first_variant => $first,
                        $($type::$variant => $text,)*
                        $type::$last_variant => $last,
                    })
                }
            }

            impl<'de> de::Deserialize<'de> for $type {
                fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    deserialize(deserializer)
                }
            }
        };
    };
}
pub(crate) use texts;

/// Implements Serialize and Deserialize for a struct of parameters. First comes the constructor with the parameters
/// that PyTorch requires, then those that have a default, and after `skips` those that PyTorch does not have. `by`
/// names the reader of a value, if that is not its type.
macro_rules! implement {
    (
        $params:ident: $make:ident($($required:ident $(by $read:ident)?)?)
        $(, $field:ident $(by $field_read:ident)?)*
    ) => {
        const _: () = {
            use serde::{de, ser};
            use $crate::params_serde;

            const NAMES: &[&str] = &[$(stringify!($required),)? $(stringify!($field)),*];

            impl ser::Serialize for $params {
                fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    use ser::SerializeStruct;

                    let $params { $($required,)? $($field,)* } = self;
                    let mut fields = serializer.serialize_struct(stringify!($params), NAMES.len())?;
                    $(fields.serialize_field(stringify!($required), $required)?;)?
                    $(fields.serialize_field(stringify!($field), $field)?;)*
                    fields.end()
                }
            }

            impl<'de> de::Deserialize<'de> for $params {
                fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    struct Fields;

                    impl<'de> de::Visitor<'de> for Fields {
                        type Value = $params;

                        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                            f.write_str("parameters by name")
                        }

                        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<$params, A::Error> {
                            use de::Error;

                            $(let mut $required = None;)?
                            $(let mut $field = None;)*
                            while let Some(name) = map.next_key::<String>()? {
                                let is_twice = match &*name {
                                    $(name @ stringify!($required) => {
                                        let read = params_serde::implement!(@read $($read)?);
                                        $required.replace(params_serde::next_value(&mut map, name, read)?).is_some()
                                    })?
                                    $(name @ stringify!($field) => {
                                        let read = params_serde::implement!(@read $($field_read)?);
                                        $field.replace(params_serde::next_value(&mut map, name, read)?).is_some()
                                    })*
                                    _ => return Err(Error::unknown_field(&name, NAMES)),
                                };
                                if is_twice {
                                    return Err(Error::custom(format!("{name}: expected one, got two")));
                                }
                            }
                            $(let $required = $required.ok_or_else(|| {
                                Error::custom(concat!(stringify!($required), ": expected one, got none"))
                            })?;)?
                            #[allow(unused_mut)]
                            let mut params = $params::$make($($required)?);
                            $(if let Some(value) = $field {
                                params.$field = value;
                            })*
                            Ok(params)
                        }
                    }

                    deserializer.deserialize_struct(stringify!($params), NAMES, Fields)
                }
            }
        };
    };
    (@read) => { params_serde::by_type };
    (@read $read:ident) => { params_serde::$read };
}
pub(crate) use implement;
