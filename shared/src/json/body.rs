//! JSON bodies.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::error;
use crate::http::Problem;

/// Parses a body that must be an object.
pub fn parse_object<'body, T: Deserialize<'body>>(body: &'body [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map(|Object(value)| value).map_err(|error| {
        if error.is_data() { Problem::invalid_body(&error.to_string()) } else { invalid_json(body, body, &error) }
    })
}

/// Says what is wrong with a body that is not JSON; `error` is what the parser says of `part`, which stands in it.
pub fn invalid_json(body: &[u8], part: &[u8], error: &serde_json::Error) -> Problem {
    Problem::invalid_json(&error::explain(body, part, error))
}

/// A whole number, also where it is written as `1.0`: to JSON that is the same, and some write no other.
pub fn whole<'de, T: TryFrom<u64>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    number(f64::deserialize(deserializer)?)
}

/// The same, or `null`.
pub fn whole_or_null<'de, T: TryFrom<u64>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)?.map(number).transpose()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is too large stays so")]
fn number<T: TryFrom<u64>, E: Error>(number: f64) -> Result<T, E> {
    let whole = (number >= 0.0 && number.fract() == 0.0).then_some(number as u64);
    // What writes a float is larger than all that is done with it here: it is not named.
    whole.and_then(|whole| whole.try_into().ok()).ok_or_else(|| E::custom("a whole number is wanted, and not as large"))
}

/// A struct that is read from an object alone. By itself serde takes an array of its members' values as well.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}
