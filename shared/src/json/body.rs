//! Parsing of JSON bodies.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::error;
use crate::http::Problem;

/// Parses a body that must be a JSON object.
pub fn parse_object<'body, T: Deserialize<'body>>(body: &'body [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map(|StrictObject(value)| value).map_err(|error| {
        if error.is_data() { Problem::invalid_body(&error.to_string()) } else { invalid_json(body, body, &error) }
    })
}

/// Returns the problem of a body that is not valid JSON. `error` is the parser's error for `part`, which is a subslice
/// of `body`.
pub fn invalid_json(body: &[u8], part: &[u8], error: &serde_json::Error) -> Problem {
    Problem::invalid_json(&error::explain(body, part, error))
}

/// Deserializes a whole number. `1.0` is accepted as well as `1`: JSON does not distinguish them, and some clients
/// write all numbers with a fraction.
pub fn whole_number<'de, T: TryFrom<u64>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    to_integer(f64::deserialize(deserializer)?)
}

/// Deserializes a whole number or `null`.
pub fn whole_number_or_null<'de, T: TryFrom<u64>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)?.map(to_integer).transpose()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, so a number that is too large for `T` remains too large"
)]
fn to_integer<T: TryFrom<u64>, E: Error>(number: f64) -> Result<T, E> {
    let integer = (number >= 0.0 && number.fract() == 0.0).then_some(number as u64);
    // The message does not quote the number, because the code that formats a float is larger than this whole module.
    integer
        .and_then(|integer| integer.try_into().ok())
        .ok_or_else(|| E::custom("expected a whole number that is not negative and not too large"))
}

/// A struct that is deserialized from a JSON object only. By default, serde also accepts an array of the members'
/// values.
#[derive(Debug)]
pub struct StrictObject<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for StrictObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = StrictObject<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<StrictObject<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(StrictObject)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}
