//! Reads structures from objects alone: serde takes a list for a structure too, whose members it then gives by their order.
//! `null` is the same as absent.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OfMap<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OfMap<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        from.deserialize_any(OfMap(PhantomData))
    }
}

/// A structure.
///
/// # Errors
/// What is no object, or not that structure.
pub fn required<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Object::deserialize(from).map(|object| object.0)
}

/// A structure that may be absent.
///
/// # Errors
/// What is no object, or not that structure.
pub fn optional<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(from)?.map(|object| object.0))
}

/// A list of structures.
///
/// # Errors
/// What is no list of such objects.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let found = Option::<Vec<Object<T>>>::deserialize(from)?.unwrap_or_default();
    Ok(found.into_iter().map(|object| object.0).collect())
}

/// Structures by their names.
///
/// # Errors
/// What is no object of such objects.
pub fn map<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<BTreeMap<String, T>, D::Error> {
    let found = Option::<BTreeMap<String, Object<T>>>::deserialize(from)?.unwrap_or_default();
    Ok(found.into_iter().map(|(name, object)| (name, object.0)).collect())
}
