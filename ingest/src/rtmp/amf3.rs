//! AMF3 values (Adobe AMF 3 specification), read into the values of [`amf0`](super::amf0).
//!
//! Encoders send AMF3 only where a Flash library put it. Strings and traits by reference are followed, because objects cannot be read
//! without; objects by reference are not.

use super::amf0::{Decoder, Error, Value};

/// What later values may refer to by index.
#[derive(Default)]
struct Tables {
    strings: Vec<String>,
    traits: Vec<Traits>,
    /// Bytes that the strings handed out may have in all: a table entry of 60 KB named a thousand times is 60 MB.
    spent: usize,
}

#[derive(Clone, Default)]
struct Traits {
    dynamic: bool,
    names: Vec<String>,
}

/// Bytes of text one AMF3 value may unfold to.
const MAX_TEXT: usize = 1 << 20;

/// One value behind the `avmplus-object-marker`, with tables of its own.
pub(crate) fn value(decoder: &mut Decoder<'_>) -> Result<Value, Error> {
    read(decoder, &mut Tables::default())
}

fn read(decoder: &mut Decoder<'_>, tables: &mut Tables) -> Result<Value, Error> {
    decoder.count()?;
    Ok(match decoder.byte()? {
        0x00 => Value::Undefined,
        0x01 => Value::Null,
        0x02 => Value::Boolean(false),
        0x03 => Value::Boolean(true),
        // 3.6: 29 bits with sign.
        0x04 => Value::Number(f64::from(((u29(decoder)? << 3) as i32) >> 3)),
        0x05 => Value::Number(decoder.double()?),
        0x06 => Value::String(string(decoder, tables)?),
        // XML documents and byte arrays are text and bytes behind a length.
        0x07 | 0x0b | 0x0c => match u29(decoder)? {
            flags if flags & 1 == 0 => Value::Undefined,
            flags => {
                let bytes = decoder.take((flags >> 1) as usize)?;
                Value::String(String::from_utf8_lossy(bytes).into_owned())
            }
        },
        0x08 => match u29(decoder)? {
            flags if flags & 1 == 0 => Value::Undefined,
            _ => Value::Date(decoder.double()?),
        },
        0x09 => {
            let flags = u29(decoder)?;
            if flags & 1 == 0 {
                return Ok(Value::Undefined);
            }
            decoder.nested(|decoder| {
                let named = pairs(decoder, tables)?;
                let mut dense = Vec::new();
                for _ in 0..flags >> 1 {
                    dense.push(read(decoder, tables)?);
                }
                Ok(if named.is_empty() {
                    Value::StrictArray(dense)
                } else {
                    Value::EcmaArray(named)
                })
            })?
        }
        0x0a => {
            let flags = u29(decoder)?;
            if flags & 1 == 0 {
                return Ok(Value::Undefined);
            }
            decoder.nested(|decoder| object(flags, decoder, tables))?
        }
        marker => return Err(Error::Marker(marker)),
    })
}

/// 3.12.
fn object(flags: u32, decoder: &mut Decoder<'_>, tables: &mut Tables) -> Result<Value, Error> {
    let traits = if flags & 2 == 0 {
        let known = tables
            .traits
            .get((flags >> 2) as usize)
            .cloned()
            .ok_or(Error::Truncated)?;
        tables.spend(known.names.iter().map(String::len).sum())?;
        known
    } else if flags & 4 != 0 {
        // Externalizable: only the class knows how it reads.
        return Err(Error::Marker(0x0a));
    } else {
        let mut traits = Traits {
            dynamic: flags & 8 != 0,
            names: Vec::new(),
        };
        string(decoder, tables)?;
        for _ in 0..flags >> 4 {
            decoder.count()?;
            traits.names.push(string(decoder, tables)?);
        }
        tables.traits.push(traits.clone());
        traits
    };
    let mut properties = Vec::new();
    for name in traits.names {
        properties.push((name, read(decoder, tables)?));
    }
    if traits.dynamic {
        properties.extend(pairs(decoder, tables)?);
    }
    Ok(Value::Object(properties))
}

fn pairs(decoder: &mut Decoder<'_>, tables: &mut Tables) -> Result<Vec<(String, Value)>, Error> {
    let mut pairs = Vec::new();
    loop {
        let name = string(decoder, tables)?;
        if name.is_empty() {
            return Ok(pairs);
        }
        pairs.push((name, read(decoder, tables)?));
    }
}

fn string(decoder: &mut Decoder<'_>, tables: &mut Tables) -> Result<String, Error> {
    let flags = u29(decoder)?;
    if flags & 1 == 0 {
        let text = tables
            .strings
            .get((flags >> 1) as usize)
            .cloned()
            .ok_or(Error::Truncated)?;
        tables.spend(text.len())?;
        return Ok(text);
    }
    let text = String::from_utf8_lossy(decoder.take((flags >> 1) as usize)?).into_owned();
    tables.spend(text.len())?;
    if !text.is_empty() {
        tables.strings.push(text.clone());
    }
    Ok(text)
}

impl Tables {
    const fn spend(&mut self, bytes: usize) -> Result<(), Error> {
        self.spent += bytes;
        if self.spent > MAX_TEXT {
            return Err(Error::TooManyValues(MAX_TEXT));
        }
        Ok(())
    }
}

/// 1.3.1: up to four bytes, seven bits each but the last, which has eight.
fn u29(decoder: &mut Decoder<'_>) -> Result<u32, Error> {
    let mut value = 0;
    for _ in 0..3 {
        let byte = decoder.byte()?;
        value = value << 7 | u32::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Ok(value << 8 | u32::from(decoder.byte()?))
}
