//! What the interpreter knows of values: whole numbers and truth values, or nothing.

use naga::{
    BinaryOperator, Expression, GlobalVariable, Handle, Literal, LocalVariable, Module, ScalarKind, Type, TypeInner,
    UnaryOperator,
};

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Unknown,
    Bool(bool),
    I32(i32),
    U32(u32),
    /// Of a vector, a struct, an array.
    Parts(Vec<Value>),
    /// Where it points, and which member or element each step takes, if that is known.
    Pointer(Root, Vec<Option<usize>>),
}
pub use Value::{Bool, I32, Parts, Pointer, U32, Unknown};

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Root {
    Global(Handle<GlobalVariable>),
    /// Of the call of this depth.
    Local(usize, Handle<LocalVariable>),
}

impl Value {
    pub fn join(self, other: Value) -> Value {
        match (self, other) {
            (a, b) if a == b => a,
            (Parts(a), Parts(b)) if a.len() == b.len() => Parts(a.into_iter().zip(b).map(|(a, b)| a.join(b)).collect()),
            _ => Unknown,
        }
    }

    pub fn part(&self, index: Option<usize>) -> Value {
        match (self, index) {
            (Parts(parts), Some(index)) => parts.get(index).cloned().unwrap_or(Unknown),
            _ => Unknown,
        }
    }

    pub fn set(&mut self, path: &[Option<usize>], value: Value) {
        match (path, &mut *self) {
            ([], _) => *self = value,
            ([Some(index), rest @ ..], Parts(parts)) if *index < parts.len() => parts[*index].set(rest, value),
            _ => *self = Unknown,
        }
    }

    pub fn index(&self) -> Option<usize> {
        match self {
            I32(index) => usize::try_from(*index).ok(),
            U32(index) => Some(*index as usize),
            _ => None,
        }
    }
}

pub fn step(base: Value, index: Option<usize>) -> Value {
    match base {
        Pointer(root, mut path) => {
            path.push(index);
            Pointer(root, path)
        }
        value => value.part(index),
    }
}

pub fn compose(module: &Module, ty: Handle<Type>, parts: Vec<Value>) -> Value {
    let TypeInner::Vector { size, .. } = module.types[ty].inner else { return Parts(parts) };
    let flat: Vec<_> =
        parts.into_iter().flat_map(|part| if let Parts(parts) = part { parts } else { vec![part] }).collect();
    // A vector that is unknown as a whole leaves too few.
    if flat.len() == size as usize { Parts(flat) } else { Unknown }
}

pub fn zero(module: &Module, ty: Handle<Type>) -> Value {
    let of = |kind| match kind {
        ScalarKind::Sint => I32(0),
        ScalarKind::Uint => U32(0),
        ScalarKind::Bool => Bool(false),
        _ => Unknown,
    };
    match &module.types[ty].inner {
        TypeInner::Scalar(scalar) => of(scalar.kind),
        TypeInner::Vector { size, scalar } => Parts(vec![of(scalar.kind); *size as usize]),
        TypeInner::Struct { members, .. } => Parts(members.iter().map(|member| zero(module, member.ty)).collect()),
        _ => Unknown,
    }
}

/// A uniform struct, of windows and members of 4 bytes.
pub fn uniform(module: &Module, ty: Handle<Type>, bytes: &[u8]) -> Value {
    let TypeInner::Struct { members, .. } = &module.types[ty].inner else { return Unknown };
    let member = |member: &naga::StructMember| {
        let bytes = &bytes[member.offset as usize..];
        let word = *bytes.first_chunk().unwrap();
        let inner = &module.types[member.ty].inner;
        match inner.scalar_kind() {
            Some(ScalarKind::Sint) => I32(i32::from_ne_bytes(word)),
            Some(ScalarKind::Uint) => U32(u32::from_ne_bytes(word)),
            _ => uniform(module, member.ty, bytes),
        }
    };
    Parts(members.iter().map(member).collect())
}

pub fn literal(module: &Module, expression: &Expression) -> Value {
    match expression {
        Expression::Literal(Literal::I32(number)) => I32(*number),
        Expression::Literal(Literal::U32(number)) => U32(*number),
        Expression::Literal(Literal::Bool(is)) => Bool(*is),
        Expression::ZeroValue(ty) => zero(module, *ty),
        _ => Unknown,
    }
}

pub fn constant_value(module: &Module, init: Handle<Expression>) -> Value {
    match &module.global_expressions[init] {
        Expression::Constant(constant) => constant_value(module, module.constants[*constant].init),
        Expression::Compose { ty, components } => {
            compose(module, *ty, components.iter().map(|part| constant_value(module, *part)).collect())
        }
        Expression::Splat { size, value } => Parts(vec![constant_value(module, *value); *size as usize]),
        expression => literal(module, expression),
    }
}

pub fn map(value: Value, of: &dyn Fn(Value) -> Value) -> Value {
    match value {
        Parts(parts) => Parts(parts.into_iter().map(of).collect()),
        value => of(value),
    }
}

pub fn zip(left: Value, right: Value, of: &dyn Fn(Value, Value) -> Value) -> Value {
    match (left, right) {
        (Parts(left), Parts(right)) => {
            Parts(left.into_iter().zip(right).map(|(left, right)| of(left, right)).collect())
        }
        (Parts(left), right) => Parts(left.into_iter().map(|left| of(left, right.clone())).collect()),
        (left, Parts(right)) => Parts(right.into_iter().map(|right| of(left.clone(), right)).collect()),
        (left, right) => of(left, right),
    }
}

pub fn unary(operator: UnaryOperator, value: Value) -> Value {
    match (operator, value) {
        (UnaryOperator::Negate, I32(number)) => I32(number.wrapping_neg()),
        (UnaryOperator::LogicalNot, Bool(is)) => Bool(!is),
        (UnaryOperator::BitwiseNot, I32(number)) => I32(!number),
        (UnaryOperator::BitwiseNot, U32(number)) => U32(!number),
        _ => Unknown,
    }
}

pub fn lesser(a: Value, b: Value, is_min: bool) -> Value {
    let is_a = match (&a, &b) {
        (I32(a), I32(b)) => (a <= b) == is_min,
        (U32(a), U32(b)) => (a <= b) == is_min,
        _ => return Unknown,
    };
    if is_a { a } else { b }
}

pub fn cast(value: Value, kind: ScalarKind) -> Value {
    match (value, kind) {
        (I32(number), ScalarKind::Uint) => U32(number.cast_unsigned()),
        (U32(number), ScalarKind::Sint) => I32(number.cast_signed()),
        (Bool(is), ScalarKind::Uint) => U32(is.into()),
        (Bool(is), ScalarKind::Sint) => I32(is.into()),
        (value @ I32(_), ScalarKind::Sint) | (value @ U32(_), ScalarKind::Uint) => value,
        _ => Unknown,
    }
}

macro_rules! integers {
    ($operator:expr, $a:expr, $b:expr, $of:expr) => {
        match $operator {
            BinaryOperator::Add => $of($a.wrapping_add($b)),
            BinaryOperator::Subtract => $of($a.wrapping_sub($b)),
            BinaryOperator::Multiply => $of($a.wrapping_mul($b)),
            BinaryOperator::Divide => $a.checked_div($b).map_or(Unknown, $of),
            BinaryOperator::Modulo => $a.checked_rem($b).map_or(Unknown, $of),
            BinaryOperator::Equal => Bool($a == $b),
            BinaryOperator::NotEqual => Bool($a != $b),
            BinaryOperator::Less => Bool($a < $b),
            BinaryOperator::LessEqual => Bool($a <= $b),
            BinaryOperator::Greater => Bool($a > $b),
            BinaryOperator::GreaterEqual => Bool($a >= $b),
            BinaryOperator::And => $of($a & $b),
            BinaryOperator::ExclusiveOr => $of($a ^ $b),
            BinaryOperator::InclusiveOr => $of($a | $b),
            _ => Unknown,
        }
    };
}

pub fn binary(operator: BinaryOperator, left: Value, right: Value) -> Value {
    match (left, right) {
        (I32(a), I32(b)) => integers!(operator, a, b, I32),
        (U32(a), U32(b)) => integers!(operator, a, b, U32),
        (I32(a), U32(b)) if operator == BinaryOperator::ShiftRight => a.checked_shr(b).map_or(Unknown, I32),
        (Bool(a), Bool(b)) => match operator {
            BinaryOperator::And | BinaryOperator::LogicalAnd => Bool(a && b),
            BinaryOperator::InclusiveOr | BinaryOperator::LogicalOr => Bool(a || b),
            BinaryOperator::Equal => Bool(a == b),
            BinaryOperator::NotEqual => Bool(a != b),
            _ => Unknown,
        },
        (Bool(false), _) | (_, Bool(false)) if matches!(operator, BinaryOperator::And | BinaryOperator::LogicalAnd) => {
            Bool(false)
        }
        (Bool(true), _) | (_, Bool(true))
            if matches!(operator, BinaryOperator::InclusiveOr | BinaryOperator::LogicalOr) =>
        {
            Bool(true)
        }
        _ => Unknown,
    }
}
