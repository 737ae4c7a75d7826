//! Writes the implementations. What it writes is kept short, since every struct of the protocol
//! pays its compile time: one statement a field, the work itself in the codec's functions.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, Ident, Type};

use crate::attributes::{self, Versions};

struct Field<'a> {
    name: &'a Ident,
    kind: &'a Type,
    label: String,
    versions: Versions,
    nullable: Option<Versions>,
    default: Option<TokenStream>,
    tag: Option<u32>,
    ignorable: bool,
}

/// Everything that the derive adds to the struct.
pub fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = fields(input)?;
    let default = default(&input.ident, &fields);
    let value = value(&input.ident, &fields);
    let message = message(input, &fields)?;
    Ok(quote! { #default #value #message })
}

fn fields(input: &DeriveInput) -> syn::Result<Vec<Field<'_>>> {
    let wrong = || syn::Error::new(input.ident.span(), "only structs with named fields");
    let Data::Struct(data) = &input.data else {
        return Err(wrong());
    };
    let named = match &data.fields {
        Fields::Named(named) => &named.named,
        _ => return Err(wrong()),
    };
    named
        .iter()
        .map(|field| {
            let attributes = attributes::field(&field.attrs)?;
            let name = field.ident.as_ref().ok_or_else(wrong)?;
            Ok(Field {
                name,
                kind: &field.ty,
                label: format!("{}.{name}", input.ident).replace("r#", ""),
                versions: attributes.versions.unwrap_or(Versions::ALL),
                nullable: attributes.nullable,
                default: attributes.default,
                tag: attributes.tag,
                ignorable: attributes.ignorable,
            })
        })
        .collect()
}

impl Field<'_> {
    fn is_nullable_type(&self) -> bool {
        matches!(self.kind, Type::Path(path)
            if path.path.segments.last().is_some_and(|last| last.ident == "Option"))
    }

    fn default(&self) -> TokenStream {
        let plain = match &self.default {
            Some(value) if value.to_string() == "null" => return quote!(None),
            Some(value) if value.to_string().starts_with('"') => quote!(#value.into()),
            Some(value) => quote!(#value),
            None => quote!(Default::default()),
        };
        if self.is_nullable_type() {
            quote!(Some(#plain))
        } else {
            plain
        }
    }

    /// The condition on the context that the version has this field; none where all have it.
    fn present(&self) -> Option<TokenStream> {
        let Versions { first, last } = self.versions;
        ((first, last) != (0, i16::MAX)).then(|| quote!(context.within(#first, #last)))
    }

    fn context(&self) -> TokenStream {
        match self.nullable {
            Some(Versions { first, last }) => quote!(context.nullable(#first, #last)),
            None => quote!(context),
        }
    }

    fn read(&self) -> TokenStream {
        let (name, context) = (self.name, self.context());
        quote!(value.#name = Value::read(reader, #context)?;)
    }

    fn is_default(&self) -> TokenStream {
        let (name, default) = (self.name, self.default());
        if default.to_string() == "None" {
            quote!(self.#name.is_none())
        } else {
            quote!(Value::is(&self.#name, &#default))
        }
    }

    fn write(&self) -> TokenStream {
        let (name, label, context) = (self.name, &self.label, self.context());
        let is_default = self.is_default();
        let write = match self.tag {
            None => quote!(Value::write(&self.#name, writer, #context)?;),
            Some(tag) => quote! {
                if !(#is_default) { tags.put(#tag, &self.#name, #context)?; }
            },
        };
        let absent =
            (!self.ignorable).then(|| quote!(else { context.absent(#is_default, #label)?; }));
        match self.present() {
            Some(present) => quote!(if #present { #write } #absent),
            None => write,
        }
    }

    fn describe(&self) -> TokenStream {
        let (kind, tag, ignorable) = (self.kind, self.tag, self.ignorable);
        let name = self.name.to_string();
        let Versions { first, last } = self.versions;
        let nullable = match self.nullable {
            Some(Versions { first, last }) => quote!(Some((#first, #last))),
            None => quote!(None),
        };
        let tag = tag.map_or(quote!(None), |tag| quote!(Some(#tag)));
        let default = self
            .default
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        quote! {
            Field {
                name: #name, kind: <#kind as Value>::TYPE, versions: (#first, #last),
                nullable: #nullable, tag: #tag, ignorable: #ignorable, default: #default,
            }
        }
    }
}

fn default(ident: &Ident, fields: &[Field<'_>]) -> TokenStream {
    let names = fields.iter().map(|field| field.name);
    let defaults = fields.iter().map(Field::default);
    quote! {
        impl Default for #ident {
            fn default() -> Self {
                Self { #(#names: #defaults),* }
            }
        }
    }
}

fn value(ident: &Ident, fields: &[Field<'_>]) -> TokenStream {
    let name = ident.to_string();
    let describe = fields.iter().map(Field::describe);
    let always = fields
        .iter()
        .filter(|field| field.tag.is_none() && field.present().is_none());
    let always = always.map(|field| field.kind);
    let (read, write) = (read(fields), write(fields));
    quote! {
        const _: () = {
            use ::ottla_protocol::codec::{Context, Error, Field, Reader, Tags, Type, Value, Writer};
            impl Value for #ident {
                const BYTES_MIN: usize = 0 #(+ <#always as Value>::BYTES_MIN)*;
                const TYPE: Type = Type::Struct(#name, &[#(#describe),*]);

                fn read(reader: &mut Reader, context: Context) -> Result<Self, Error> {
                    let mut value = Self::default();
                    #read
                    Ok(value)
                }

                fn write(&self, writer: &mut Writer, context: Context) -> Result<(), Error> {
                    #write
                    Ok(())
                }
            }
        };
    }
}

fn read(fields: &[Field<'_>]) -> TokenStream {
    let plain = fields
        .iter()
        .filter(|field| field.tag.is_none())
        .map(|field| {
            let read = field.read();
            match field.present() {
                Some(present) => quote!(if #present { #read }),
                None => read,
            }
        });
    let tagged: Vec<_> = fields.iter().filter(|field| field.tag.is_some()).collect();
    if tagged.is_empty() {
        return quote!(#(#plain)* if context.flexible { reader.skip_tags()?; });
    }
    let arms = tagged.iter().map(|field| {
        let (tag, read) = (field.tag, field.read());
        let guard = field.present().map(|present| quote!(if #present));
        quote!(#tag #guard => { #read })
    });
    quote! {
        #(#plain)*
        if context.flexible {
            for _ in 0..reader.tags()? {
                let (tag, left) = reader.tag()?;
                match tag {
                    #(#arms)*
                    _ => reader.skip_tag(left),
                }
                reader.end_tag(tag, left)?;
            }
        }
    }
}

fn write(fields: &[Field<'_>]) -> TokenStream {
    let plain = fields
        .iter()
        .filter(|field| field.tag.is_none())
        .map(Field::write);
    let mut tagged: Vec<_> = fields.iter().filter(|field| field.tag.is_some()).collect();
    if tagged.is_empty() {
        return quote!(#(#plain)* if context.flexible { writer.uvarint(0); });
    }
    tagged.sort_by_key(|field| field.tag);
    let tagged = tagged.into_iter().map(Field::write);
    quote! {
        #(#plain)*
        let mut tags = Tags::default();
        #(#tagged)*
        if context.flexible { tags.write(writer); }
    }
}

fn message(input: &DeriveInput, fields: &[Field<'_>]) -> syn::Result<TokenStream> {
    let ident = &input.ident;
    let name = ident.to_string();
    let container = attributes::container(&input.attrs)?;
    let Some(Versions { first, last }) = container.versions else {
        return Ok(TokenStream::new());
    };
    let flexible = container
        .flexible
        .map_or(i16::MAX, |versions| versions.first);
    let request = match (container.key, container.response) {
        (Some(key), Some(response)) => quote! {
            impl ::ottla_protocol::codec::Request for #ident {
                const KEY: ::ottla_protocol::api::ApiKey = ::ottla_protocol::api::ApiKey::#key;
                type Response = #response;
            }
        },
        (None, None) => TokenStream::new(),
        _ => {
            return Err(syn::Error::new(
                ident.span(),
                "a request has both key and response",
            ));
        }
    };
    let tells_throttle = fields.iter().any(|field| field.name == "throttle_time_ms");
    let throttle = tells_throttle.then(|| {
        quote! {
            fn throttle_time_ms(&mut self) -> Option<&mut i32> {
                Some(&mut self.throttle_time_ms)
            }
        }
    });
    Ok(quote! {
        impl ::ottla_protocol::codec::Message for #ident {
            const NAME: &'static str = #name;
            const VERSIONS: ::core::ops::RangeInclusive<i16> = #first..=#last;
            const FLEXIBLE: i16 = #flexible;
            #throttle
        }
        #request
    })
}
