//! Bounds of the integers in the OpenAPI document. utoipa writes no maximum, and formats like `u-int8` that nobody
//! knows.

use utoipa::{
    Number,
    openapi::{
        Content, OpenApi, RefOr,
        path::Operation,
        schema::{AdditionalProperties, ArrayItems, KnownFormat, Object, Schema, SchemaFormat},
    },
};

use super::operations;

/// Smallest and largest value of an integer; `None` if the schema doesn't have its format.
pub fn of(object: &Object) -> Option<[i128; 2]> {
    let Some(SchemaFormat::KnownFormat(format)) = &object.format else {
        return None;
    };
    let [min, max]: [i128; 2] = match format {
        KnownFormat::UInt8 => [0, u8::MAX.into()],
        KnownFormat::UInt16 => [0, u16::MAX.into()],
        KnownFormat::UInt32 => [0, u32::MAX.into()],
        KnownFormat::UInt64 => [0, u64::MAX.into()],
        KnownFormat::Int8 => [i8::MIN.into(), i8::MAX.into()],
        KnownFormat::Int16 => [i16::MIN.into(), i16::MAX.into()],
        KnownFormat::Int32 => [i32::MIN.into(), i32::MAX.into()],
        KnownFormat::Int64 => [i64::MIN.into(), i64::MAX.into()],
        _ => return None,
    };
    let given = |bound: &Option<Number>, default| bound.as_ref().map_or(default, integer);
    Some([given(&object.minimum, min), given(&object.maximum, max)])
}

/// utoipa has the bounds that it writes itself as floating-point numbers.
fn integer(bound: &Number) -> i128 {
    match bound {
        Number::Int(bound) => *bound as i128,
        Number::UInt(bound) => *bound as i128,
        Number::Float(bound) => *bound as i128,
    }
}

fn number(bound: i128) -> Option<Number> {
    let unsigned = || usize::try_from(bound).map(Number::UInt);
    let signed = isize::try_from(bound).map(Number::Int);
    signed.or_else(|_| unsigned()).ok()
}

/// The format by its name in the registry of OpenAPI.
fn registered(format: SchemaFormat) -> SchemaFormat {
    let name = match format {
        SchemaFormat::KnownFormat(KnownFormat::UInt8) => "uint8",
        SchemaFormat::KnownFormat(KnownFormat::UInt16) => "uint16",
        SchemaFormat::KnownFormat(KnownFormat::UInt32) => "uint32",
        SchemaFormat::KnownFormat(KnownFormat::UInt64) => "uint64",
        other => return other,
    };
    SchemaFormat::Custom(name.to_owned())
}

/// Sets the bounds of all integers of the document.
pub fn set(document: &mut OpenApi) {
    if let Some(components) = &mut document.components {
        components.schemas.values_mut().for_each(set_in);
    }
    operations::all(document).for_each(set_of);
}

fn set_of(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && let Some(schema) = &mut parameter.schema
        {
            set_in(schema);
        }
    }
    let set_in_content = |content: &mut RefOr<Content>| {
        if let RefOr::T(content) = content {
            content.schema.iter_mut().for_each(set_in);
        }
    };
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        body.content.values_mut().for_each(set_in_content);
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.content.values_mut().for_each(set_in_content);
        }
    }
}

fn set_in(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else {
        return;
    };
    match schema {
        Schema::Object(object) => {
            if let Some([min, max]) = of(object) {
                (object.minimum, object.maximum) = (number(min), number(max));
                object.format = object.format.take().map(registered);
            }
            object.properties.values_mut().for_each(set_in);
            if let Some(AdditionalProperties::RefOr(schema)) =
                object.additional_properties.as_deref_mut()
            {
                set_in(schema);
            }
        }
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                set_in(items);
            }
        }
        Schema::OneOf(one_of) => one_of.items.iter_mut().for_each(set_in),
        Schema::AllOf(all_of) => all_of.items.iter_mut().for_each(set_in),
        Schema::AnyOf(any_of) => any_of.items.iter_mut().for_each(set_in),
        _ => {}
    }
}
