//! Draws wire forms: from a struct's description come bytes that are one of its values, in the one
//! form that an encoder may give them. What its texts and numbers are, others may choose.

use ottla_protocol::codec::{Field, Type};

use crate::catalogue::Entry;

/// Items of an array, and letters of a text, at most.
const LENGTH_MAX: u64 = 4;

/// A small generator of numbers (SplitMix64): a form depends on its seed alone.
pub struct Draw(pub u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Chooses what a form holds.
pub trait Choose {
    /// Where its numbers come from.
    fn draw(&mut self) -> &mut Draw;

    /// A text for the field of that name; a `full` one is not empty.
    fn text(&mut self, field: &str, full: bool) -> Vec<u8>;

    /// Bytes for the field of that name, with the same meaning of `full`.
    fn bytes(&mut self, field: &str, full: bool) -> Vec<u8> {
        self.text(field, full)
    }

    /// A number of so many bytes for the field of that name; a `full` one is no default.
    fn number(&mut self, field: &str, width: usize, full: bool) -> Vec<u8>;
}

impl Choose for Draw {
    fn draw(&mut self) -> &mut Draw {
        self
    }

    fn text(&mut self, _: &str, full: bool) -> Vec<u8> {
        let length = self.below(LENGTH_MAX) + u64::from(full);
        (0..length).map(|_| b'a' + self.below(26) as u8).collect()
    }

    fn number(&mut self, _: &str, width: usize, full: bool) -> Vec<u8> {
        let small = 20 + self.below(100) as u8;
        let random = (1..width).map(|_| if full { 0 } else { self.next() as u8 });
        let mut number: Vec<u8> = random.collect();
        number.push(small);
        number
    }
}

/// One form of `entry` in `version`.
pub fn draw(entry: &Entry, version: i16, choose: &mut impl Choose) -> Vec<u8> {
    let mut form = Form {
        version,
        flexible: version >= entry.flexible,
        choose,
        bytes: Vec::new(),
    };
    form.fields(entry.fields, false);
    form.bytes
}

struct Form<'a, C> {
    version: i16,
    flexible: bool,
    choose: &'a mut C,
    bytes: Vec<u8>,
}

impl<C: Choose> Form<'_, C> {
    fn below(&mut self, limit: u64) -> u64 {
        self.choose.draw().below(limit)
    }

    fn fields(&mut self, fields: &[Field], full: bool) {
        let version = self.version;
        let within = |range: (i16, i16)| range.0 <= version && version <= range.1;
        let present = |field: &&Field| within(field.versions);
        for field in fields
            .iter()
            .filter(present)
            .filter(|field| field.tag.is_none())
        {
            self.value(field, field.kind, field.nullable.is_some_and(within), full);
        }
        if !self.flexible {
            return;
        }
        let mut tagged: Vec<_> = fields.iter().filter(present).collect();
        tagged.retain(|field| field.tag.is_some() && (full || self.below(2) == 0));
        tagged.sort_by_key(|field| field.tag);
        self.uvarint(tagged.len() as u64);
        for field in tagged {
            let before = std::mem::take(&mut self.bytes);
            // an encoder leaves out a tagged field that holds its default
            self.value(field, field.kind, field.nullable.is_some_and(within), true);
            let value = std::mem::replace(&mut self.bytes, before);
            self.uvarint(u64::from(field.tag.unwrap_or_default()));
            self.uvarint(value.len() as u64);
            self.bytes.extend(value);
        }
    }

    /// Writes a value; a `full` one is not null, not empty and made of no number that is a default.
    fn value(&mut self, field: &Field, kind: Type, nullable: bool, full: bool) {
        if nullable && !full && self.below(4) == 0 {
            return match kind {
                Type::Struct(..) => self.bytes.push(0xff),
                Type::Plain("string") => self.length(None, 2),
                _ => self.length(None, 4),
            };
        }
        match kind {
            Type::Struct(_, fields) => {
                if nullable {
                    self.bytes.push(1);
                }
                self.fields(fields, full);
            }
            Type::Array(item) => {
                let count = self.below(LENGTH_MAX) + u64::from(full);
                self.length(Some(count), 4);
                (0..count).for_each(|_| self.value(field, *item, false, full));
            }
            Type::Plain("string") => {
                let text = self.choose.text(field.name, full);
                self.with_length(&text, 2);
            }
            Type::Plain("bytes" | "records") => {
                let bytes = self.choose.bytes(field.name, full);
                self.with_length(&bytes, 4);
            }
            Type::Plain("bool") => {
                let value = u8::from(full) | self.below(2) as u8;
                self.bytes.push(value);
            }
            Type::Plain(number) => {
                let width = match number {
                    "int8" => 1,
                    "int16" | "uint16" => 2,
                    "int32" | "uint32" => 4,
                    "int64" | "float64" => 8,
                    "uuid" => 16,
                    _ => unreachable!("no message has a {number}"),
                };
                let number = self.choose.number(field.name, width, full);
                self.bytes.extend(number);
            }
        }
    }

    fn with_length(&mut self, bytes: &[u8], width: usize) {
        self.length(Some(bytes.len() as u64), width);
        self.bytes.extend(bytes);
    }

    fn length(&mut self, length: Option<u64>, width: usize) {
        if self.flexible {
            return self.uvarint(length.map_or(0, |length| length + 1));
        }
        let wire = length.map_or(-1, |length| length as i64).to_be_bytes();
        self.bytes.extend(&wire[8 - width..]);
    }

    fn uvarint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}
