//! An object is written as an object. serde reads a struct from a list of its fields' values too, in
//! their order: a second spelling of every request, past the rule that no unknown field is taken and
//! past every reader in front of us that looks for a field by its name. [`Objects`] stands between a
//! JSON deserializer and a type, and asks for a map wherever the type is a struct, however deep.
//!
//! It does not reach into what is `flatten`, `untagged` or tagged within: serde gathers the fields of such
//! a type in a buffer first, and reads it from there. The one input of that kind is a list of scopes, in
//! which there is no object. There must be none in another.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// A deserializer, or one of the parts that it hands on, under which lists are never structs.
pub(super) struct Objects<T>(pub(super) T);

/// Methods without arguments of their own, handed on with the visitor wrapped.
macro_rules! hand_on {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            self.0.$method(Objects(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    hand_on! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32
        deserialize_i64 deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32
        deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_option deserialize_unit deserialize_seq deserialize_map
        deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Objects(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, Objects(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Objects(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, Objects(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, Objects(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, Objects(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// Values without parts, handed on as they are.
macro_rules! plain {
    ($($method:ident: $type:ty,)*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Objects<V> {
    type Value = V::Value;

    plain! {
        visit_bool: bool, visit_i8: i8, visit_i16: i16, visit_i32: i32, visit_i64: i64,
        visit_i128: i128, visit_u8: u8, visit_u16: u16, visit_u32: u32, visit_u64: u64,
        visit_u128: u128, visit_f32: f32, visit_f64: f64, visit_char: char, visit_str: &str,
        visit_borrowed_str: &'de str, visit_string: String, visit_bytes: &[u8],
        visit_borrowed_bytes: &'de [u8], visit_byte_buf: Vec<u8>,
    }

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(out)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Objects(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Objects(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Objects(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Objects(fields))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Objects(variant))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Objects<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Objects(inner))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Objects(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Objects<A> {
    type Error = A::Error;
    type Variant = Objects<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.0.variant_seed(Objects(seed))?;
        Ok((value, Objects(variant)))
    }
}

/// The fields of a variant, which are read as a struct's are.
struct Fields<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Fields<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        inner.deserialize_map(self.0)
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Objects(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Objects(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.newtype_variant_seed(Fields(Objects(visitor)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::super::body::parse;

    #[derive(Debug, Default, Deserialize)]
    struct Part {
        name: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Chosen {
        Word,
        Made(Part),
        Told { name: String },
    }

    #[derive(Debug, Deserialize)]
    struct Whole {
        part: Part,
        #[serde(default)]
        maybe: Option<Part>,
        #[serde(default)]
        listed: Vec<Part>,
        #[serde(default)]
        named: BTreeMap<String, Part>,
        #[serde(default)]
        chosen: Option<Chosen>,
        #[serde(default)]
        any: serde_json::Value,
    }

    #[test]
    fn a_list_is_never_an_object_however_deep() {
        for list in [
            r#"[{"name":"a"}]"#,
            r#" [["a"]]"#,
            r#"{"part":["a"]}"#,
            r#"{"part":{"name":"a"},"maybe":["a"]}"#,
            r#"{"part":{"name":"a"},"listed":[["a"]]}"#,
            r#"{"part":{"name":"a"},"named":{"x":["a"]}}"#,
            r#"{"part":{"name":"a"},"chosen":{"made":["a"]}}"#,
            r#"{"part":{"name":"a"},"chosen":{"told":["a"]}}"#,
        ] {
            let text = format!("{:?}", parse::<Whole>(list.as_bytes()).unwrap_err());
            assert!(text.contains("object"), "{list}: {text}");
            for rust in ["struct", "Part", "Whole", "element"] {
                assert!(!text.contains(rust), "{list}: {text}");
            }
        }
        let read: Whole = parse(
            br#"{"part":{"name":"a"},"maybe":{"name":"b"},"listed":[{"name":"c"}],
                 "named":{"x":{"name":"d"}},"chosen":{"made":{"name":"e"}},"any":[1,{"y":[null]}]}"#,
        )
        .unwrap();
        let Whole {
            part,
            maybe,
            listed,
            named,
            ..
        } = &read;
        let names = [part, maybe.as_ref().unwrap(), &listed[0], &named["x"]].map(|one| &*one.name);
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert!(matches!(read.chosen, Some(Chosen::Made(Part { name })) if name == "e"));
        assert_eq!(read.any, serde_json::json!([1, {"y": [null]}]));
        for (chosen, told) in [(r#""word""#, false), (r#"{"told":{"name":"f"}}"#, true)] {
            let body = format!(r#"{{"part":{{"name":"a"}},"chosen":{chosen}}}"#);
            match parse::<Whole>(body.as_bytes()).unwrap().chosen {
                Some(Chosen::Told { name }) => assert!(told && name == "f"),
                Some(Chosen::Word) => assert!(!told),
                other => panic!("{other:?}"),
            }
        }
    }
}
