//! A description of every struct that derives the codec, made by the same macro from the same
//! attributes, so that a test can hold it against the schemas that Kafka publishes.

/// The wire type of a field.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// A type without parts, by the name the schemas give it.
    Plain(&'static str),
    /// An array.
    Array(&'static Type),
    /// A struct: its name and fields.
    Struct(&'static str, &'static [Field]),
}

/// One field of a struct.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The field's name in Rust.
    pub name: &'static str,
    /// What it holds.
    pub kind: Type,
    /// The first and last version that has it.
    pub versions: (i16, i16),
    /// The first and last version in which it may be null; `None` where it never may.
    pub nullable: Option<(i16, i16)>,
    /// Its tag, where it is a tagged field.
    pub tag: Option<u32>,
    /// Whether it is left out silently in a version that lacks it.
    pub ignorable: bool,
    /// Its default as written in the attribute; empty where the type's own applies.
    pub default: &'static str,
}
