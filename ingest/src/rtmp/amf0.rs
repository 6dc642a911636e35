//! AMF0 values (Adobe AMF 0 specification), with the AMF3 that may hide in them (`avmplus-object-marker`, section 3.1).
//!
//! Decoding is bounded: nesting, the number of values in a message, and nothing is allocated on the word of a count. References are not
//! followed, since following them is how a small message becomes a large value.

use super::amf3;

/// A value. Objects keep the order of their properties.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// 2.2
    Number(f64),
    /// 2.3
    Boolean(bool),
    /// 2.4, 2.14 (long) and 2.17 (XML). Bytes that are no UTF-8 are replaced.
    String(String),
    /// 2.5, and 2.18 without its class name.
    Object(Vec<(String, Self)>),
    /// 2.7
    Null,
    /// 2.8, and 2.15 (unsupported).
    Undefined,
    /// 2.9: a reference to an earlier object, not followed.
    Reference(u16),
    /// 2.10: an object that says how many properties it has, mostly.
    EcmaArray(Vec<(String, Self)>),
    /// 2.12
    StrictArray(Vec<Self>),
    /// 2.13: milliseconds since the epoch.
    Date(f64),
}

/// Why bytes are no AMF.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Ends within a value.
    #[error("value is cut off")]
    Truncated,
    /// A marker of no type.
    #[error("marker {0:#04x} is not known")]
    Marker(u8),
    /// Nested too deep.
    #[error("values are nested deeper than {0}")]
    TooDeep(usize),
    /// Too many values.
    #[error("more than {0} values")]
    TooManyValues(usize),
}

/// Bounds of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nesting.
    pub max_depth: usize,
    /// Values, properties included.
    pub max_values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_depth: 16,
            max_values: 4096,
        }
    }
}

impl Value {
    /// The property of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(properties) | Self::EcmaArray(properties) => {
                properties.iter().find(|(key, _)| key == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number of a number.
    pub const fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// An object of the given properties.
    pub fn object<const N: usize>(properties: [(&str, Self); N]) -> Self {
        Self::Object(properties.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// Appends the value's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(number) => {
                out.push(0x00);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Boolean(value) => out.extend_from_slice(&[0x01, u8::from(*value)]),
            Self::String(text) => match u16::try_from(text.len()) {
                Ok(len) => {
                    out.push(0x02);
                    out.extend_from_slice(&len.to_be_bytes());
                    out.extend_from_slice(text.as_bytes());
                }
                Err(_) => {
                    out.push(0x0c);
                    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
                    out.extend_from_slice(&len.to_be_bytes());
                    out.extend_from_slice(&text.as_bytes()[..len as usize]);
                }
            },
            Self::Object(properties) => {
                out.push(0x03);
                encode_properties(properties, out);
            }
            Self::Null => out.push(0x05),
            Self::Undefined => out.push(0x06),
            Self::Reference(index) => {
                out.push(0x07);
                out.extend_from_slice(&index.to_be_bytes());
            }
            Self::EcmaArray(properties) => {
                out.push(0x08);
                let count = u32::try_from(properties.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&count.to_be_bytes());
                encode_properties(properties, out);
            }
            Self::StrictArray(values) => {
                out.push(0x0a);
                let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&count.to_be_bytes());
                for value in values {
                    value.encode(out);
                }
            }
            Self::Date(millis) => {
                out.push(0x0b);
                out.extend_from_slice(&millis.to_be_bytes());
                out.extend_from_slice(&[0, 0]);
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

fn encode_properties(properties: &[(String, Value)], out: &mut Vec<u8>) {
    for (name, value) in properties {
        // An empty name would end the object; a name has 16 bits for its length.
        let Ok(len @ 1..) = u16::try_from(name.len()) else {
            continue;
        };
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(name.as_bytes());
        value.encode(out);
    }
    out.extend_from_slice(&[0, 0, 0x09]);
}

/// All values of a message body.
///
/// What follows a value that does not decode is dropped: a client's extra argument must not cost the command. An error is returned only
/// when not even the first value is good, or a limit is met.
pub fn decode_all(bytes: &[u8], limits: Limits) -> Result<Vec<Value>, Error> {
    let mut decoder = Decoder::new(bytes, limits);
    let mut values = Vec::new();
    while !decoder.bytes.is_empty() {
        match decoder.value() {
            Ok(value) => values.push(value),
            Err(error @ (Error::TooDeep(_) | Error::TooManyValues(_))) => return Err(error),
            Err(error) if values.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(values)
}

/// Reads values off the front of bytes.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    pub(crate) bytes: &'a [u8],
    limits: Limits,
    depth: usize,
    values: usize,
}

impl<'a> Decoder<'a> {
    pub(crate) const fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Self {
            bytes,
            limits,
            depth: 0,
            values: 0,
        }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(Error::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn double(&mut self) -> Result<f64, Error> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        Ok(f64::from_be_bytes(bytes))
    }

    fn u16(&mut self) -> Result<u16, Error> {
        let b = self.take(2)?;
        Ok(u16::from_be_bytes([b[0], b[1]]))
    }

    fn u32(&mut self) -> Result<u32, Error> {
        let b = self.take(4)?;
        Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn text(&mut self, len: usize) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(self.take(len)?).into_owned())
    }

    /// Counts a value against the limits and runs `read` one level deeper.
    pub(crate) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth >= self.limits.max_depth {
            return Err(Error::TooDeep(self.limits.max_depth));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    pub(crate) const fn count(&mut self) -> Result<(), Error> {
        if self.values >= self.limits.max_values {
            return Err(Error::TooManyValues(self.limits.max_values));
        }
        self.values += 1;
        Ok(())
    }

    pub(crate) fn value(&mut self) -> Result<Value, Error> {
        self.count()?;
        Ok(match self.byte()? {
            0x00 => Value::Number(self.double()?),
            0x01 => Value::Boolean(self.byte()? != 0),
            0x02 => {
                let len = self.u16()?;
                Value::String(self.text(usize::from(len))?)
            }
            0x03 => Value::Object(self.nested(Self::properties)?),
            0x05 => Value::Null,
            // Movie clip and record set are reserved (2.6, 2.16); undefined; unsupported.
            0x06 | 0x0d => Value::Undefined,
            0x07 => Value::Reference(self.u16()?),
            0x08 => {
                // The count is a hint: some senders write 0, some leave the end marker out at the end of the message.
                self.u32()?;
                Value::EcmaArray(self.nested(Self::properties)?)
            }
            0x0a => {
                let count = self.u32()?;
                Value::StrictArray(self.nested(|decoder| {
                    let mut values = Vec::new();
                    for _ in 0..count {
                        values.push(decoder.value()?);
                    }
                    Ok(values)
                })?)
            }
            0x0b => {
                let millis = self.double()?;
                self.take(2)?;
                Value::Date(millis)
            }
            0x0c | 0x0f => {
                let len = self.u32()?;
                Value::String(self.text(len as usize)?)
            }
            0x10 => {
                let len = self.u16()?;
                self.take(usize::from(len))?;
                Value::Object(self.nested(Self::properties)?)
            }
            0x11 => amf3::value(self)?,
            marker => return Err(Error::Marker(marker)),
        })
    }

    /// Properties up to the object end marker, or to the end of the bytes.
    fn properties(&mut self) -> Result<Vec<(String, Value)>, Error> {
        let mut properties = Vec::new();
        while !self.bytes.is_empty() {
            let len = self.u16()?;
            if len == 0 && self.bytes.first() == Some(&0x09) {
                self.byte()?;
                break;
            }
            let name = self.text(usize::from(len))?;
            properties.push((name, self.value()?));
        }
        Ok(properties)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8]) -> Result<Vec<Value>, Error> {
        decode_all(bytes, Limits::default())
    }

    #[test]
    fn every_type_is_read() {
        // Conformance 17.
        let bytes = [
            &[0x0b, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &[0x0c, 0, 0, 0, 2, b'h', b'i'],
            &[0x07, 0, 1],
            &[0x10, 0, 1, b'C', 0, 1, b'a', 0x01, 1, 0, 0, 9],
            &[0x0d],
            &[0x08, 0, 0, 0, 9, 0, 1, b'a', 0x05, 0, 0, 9],
            &[0x0a, 0, 0, 0, 2, 0x05, 0x06],
            // An ECMA array without its end, at the end.
            &[0x08, 0, 0, 0, 0, 0, 1, b'b', 0x01, 0],
        ]
        .concat();
        let object = |name: &str, value| vec![(name.to_owned(), value)];
        assert_eq!(
            decode(&bytes).unwrap(),
            [
                Value::Date(2.0),
                "hi".into(),
                Value::Reference(1),
                Value::Object(object("a", Value::Boolean(true))),
                Value::Undefined,
                Value::EcmaArray(object("a", Value::Null)),
                Value::StrictArray(vec![Value::Null, Value::Undefined]),
                Value::EcmaArray(object("b", Value::Boolean(false))),
            ]
        );
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        // Conformance 17.
        let nested = |depth: usize| [&[3, 0, 1, b'a'].repeat(depth)[..], &[5]].concat();
        assert!(decode(&nested(16)).is_ok());
        assert_eq!(decode(&nested(17)), Err(Error::TooDeep(16)));
        assert_eq!(decode(&nested(100_000)), Err(Error::TooDeep(16)));
        assert_eq!(decode(&[5; 5000]), Err(Error::TooManyValues(4096)));
        // A count alone makes nothing.
        assert_eq!(decode(&[0x0a, 0xff, 0xff, 0xff, 0xff]), Err(Error::Truncated));
    }

    #[test]
    fn a_broken_argument_leaves_the_command_standing() {
        let bytes = [
            &[0x02, 0, 4][..],
            b"name",
            &[0x00, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
            &[0x77],
        ]
        .concat();
        assert_eq!(decode(&bytes).unwrap(), ["name".into(), Value::Number(1.0)]);
        assert_eq!(decode(&[0x77]), Err(Error::Marker(0x77)));
    }

    #[test]
    fn amf3_behind_its_marker_is_read() {
        // Conformance 17: { a: 5, b: "a" (by reference), c: [true, -1] }, then AMF0 again.
        let bytes = [
            &[0x11, 0x0a, 0x0b, 0x01][..],
            &[0x03, b'a', 0x04, 0x05],
            &[0x03, b'b', 0x06, 0x00],
            &[0x03, b'c', 0x09, 0x05, 0x01, 0x03, 0x04, 0xff, 0xff, 0xff, 0xff],
            &[0x01],
            &[0x05],
        ]
        .concat();
        assert_eq!(
            decode(&bytes).unwrap(),
            [
                Value::object([
                    ("a", 5.0.into()),
                    ("b", "a".into()),
                    ("c", Value::StrictArray(vec![Value::Boolean(true), Value::Number(-1.0)])),
                ]),
                Value::Null,
            ]
        );
        let deep = [&[0x11][..], &[0x09, 0x03, 0x01].repeat(50)].concat();
        assert_eq!(decode(&deep), Err(Error::TooDeep(16)));
        // A reference to nothing, and text named again and again.
        assert_eq!(decode(&[0x11, 0x06, 0x08]), Err(Error::Truncated));
        let long = [
            &[0x11, 0x09, 0xce, 0x21, 0x01, 0x06, 0xfd, 0x01][..],
            &[b'x'; 8000],
            &[0x06, 0x00].repeat(5000),
        ]
        .concat();
        assert!(
            matches!(decode(&long), Err(Error::TooManyValues(_))),
            "{:?}",
            decode(&long).map(|v| v.len())
        );
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let name = "[a-z]{1,8}";
        let leaf = prop_oneof![
            (-1e9..1e9).prop_map(Value::Number),
            any::<bool>().prop_map(Value::Boolean),
            ".{0,20}".prop_map(Value::String),
            Just(Value::Null),
            Just(Value::Undefined),
            (0.0..1e12).prop_map(Value::Date),
        ];
        leaf.prop_recursive(5, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec((name, inner.clone()), 0..6).prop_map(Value::Object),
                prop::collection::vec((name, inner.clone()), 0..6).prop_map(Value::EcmaArray),
                prop::collection::vec(inner, 0..6).prop_map(Value::StrictArray),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(values in prop::collection::vec(any_value(), 1..4)) {
            let mut bytes = Vec::new();
            for value in &values {
                value.encode(&mut bytes);
            }
            prop_assert_eq!(decode(&bytes).unwrap(), values);
        }

        #[test]
        fn garbage_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
            let _ = decode(&[&[0x11][..], &bytes].concat());
        }
    }
}
