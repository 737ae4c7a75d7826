//! Reads the `#[kafka(…)]` attributes.

use proc_macro2::TokenStream;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Ident, LitInt, LitStr, Path, Token};

/// A range of versions: `"3"`, `"3+"` or `"3-7"`.
#[derive(Clone, Copy)]
pub struct Versions {
    pub first: i16,
    pub last: i16,
}

impl Versions {
    /// Every version there is.
    pub const ALL: Self = Self {
        first: 0,
        last: i16::MAX,
    };
}

impl Parse for Versions {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let text: LitStr = input.parse()?;
        let value = text.value();
        let number = |part: &str| {
            part.parse()
                .map_err(|_| syn::Error::new(text.span(), "versions are 3, 3+ or 3-7"))
        };
        if let Some(first) = value.strip_suffix('+') {
            return Ok(Self {
                first: number(first)?,
                last: i16::MAX,
            });
        }
        let (first, last) = value.split_once('-').unwrap_or((&value, &value));
        Ok(Self {
            first: number(first)?,
            last: number(last)?,
        })
    }
}

/// What the attributes of a struct say.
#[derive(Default)]
pub struct Container {
    pub key: Option<Ident>,
    pub versions: Option<Versions>,
    pub flexible: Option<Versions>,
    pub response: Option<Path>,
}

/// What the attributes of a field say.
#[derive(Default)]
pub struct Field {
    pub versions: Option<Versions>,
    pub nullable: Option<Versions>,
    pub default: Option<TokenStream>,
    pub tag: Option<u32>,
    pub ignorable: bool,
}

/// Reads those of a struct.
pub fn container(attributes: &[Attribute]) -> syn::Result<Container> {
    let mut found = Container::default();
    each(attributes, |name, input| {
        match name {
            "key" => found.key = Some(value(input)?),
            "versions" => found.versions = Some(value(input)?),
            "flexible" => found.flexible = Some(value(input)?),
            "response" => found.response = Some(value(input)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(found)
}

/// Reads those of a field.
pub fn field(attributes: &[Attribute]) -> syn::Result<Field> {
    let mut found = Field::default();
    each(attributes, |name, input| {
        match name {
            "versions" => found.versions = Some(value(input)?),
            "nullable" => found.nullable = Some(value(input)?),
            "default" => found.default = Some(tokens(input)?),
            "tag" => found.tag = Some(value::<LitInt>(input)?.base10_parse()?),
            "ignorable" => found.ignorable = true,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(found)
}

fn each(
    attributes: &[Attribute],
    mut read: impl FnMut(&str, ParseStream<'_>) -> syn::Result<bool>,
) -> syn::Result<()> {
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("kafka"))
    {
        attribute.parse_nested_meta(|meta| {
            let name = meta.path.require_ident()?.to_string();
            if read(&name, meta.input)? {
                Ok(())
            } else {
                Err(meta.error("unknown attribute"))
            }
        })?;
    }
    Ok(())
}

fn value<T: Parse>(input: ParseStream<'_>) -> syn::Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

fn tokens(input: ParseStream<'_>) -> syn::Result<TokenStream> {
    input.parse::<Token![=]>()?;
    let mut tokens = TokenStream::new();
    while !input.is_empty() && !input.peek(Token![,]) {
        tokens.extend([input.parse::<proc_macro2::TokenTree>()?]);
    }
    Ok(tokens)
}
