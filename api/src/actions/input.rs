//! Inputs of an action: query parameters, and the body's `data`.

use axum::{extract::Query, http::Uri};
use driftshield_sdk::Address;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{bytes::Key, problem::Problem, reason};

/// Inputs by name.
#[derive(Clone, Debug)]
pub struct Input {
    pairs: Vec<(String, String)>,
}

impl Input {
    /// The query parameters, without `min_slot`.
    pub fn from_query(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        Self {
            pairs: pairs.filter(|(name, _)| name != "min_slot").collect(),
        }
    }

    /// Sets an input, in place of one of the same name.
    pub fn set(&mut self, name: &str, value: String) {
        self.pairs.retain(|(known, _)| known != name);
        self.pairs.push((name.to_owned(), value));
    }

    /// Sets the inputs of a body's `data`.
    pub fn set_all(&mut self, data: &Map<String, Value>) -> Result<(), Problem> {
        for (name, value) in data {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                _ => {
                    return Err(Problem::InvalidValue(format!(
                        "`data.{name}` is not a text; give a string"
                    )));
                }
            };
            self.set(name, text);
        }
        Ok(())
    }

    /// Whether an input is given.
    pub fn contains(&self, name: &str) -> bool {
        let mut pairs = self.pairs.iter();
        pairs.any(|(known, value)| known == name && !value.is_empty())
    }

    /// The inputs in a query string, after others.
    pub fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let query = query.extend_pairs(&self.pairs).finish();
        match query.is_empty() {
            true => query,
            false => format!("&{query}"),
        }
    }

    /// Removes and returns an input. Inputs that were left empty are missing.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.pairs.remove(at);
        (!value.is_empty()).then_some(value)
    }

    /// Removes and returns the address that the action is about.
    pub fn take_key(&mut self, name: &str) -> Result<Address, Problem> {
        let text = self.take(name).ok_or_else(|| {
            Problem::InvalidValue(format!(
                "`{name}` is missing; give its address in the query"
            ))
        })?;
        let key = Key::parse(&text).ok_or_else(|| {
            Problem::InvalidValue(format!(
                "`{name}`: `{text}` is not an address; give 32 bytes in base58"
            ))
        })?;
        Ok(key.address())
    }

    /// Replaces the input `from`, a decimal number, by `to`, an integer of `decimals` decimals.
    pub fn scale(&mut self, from: &str, to: &str, decimals: u8) -> Result<(), Problem> {
        let Some(text) = self.take(from) else {
            return Ok(());
        };
        if self.pairs.iter().any(|(name, _)| name == to) {
            return Err(Problem::InvalidValue(format!(
                "`{from}` and `{to}` are both given; give one of them"
            )));
        }
        let units = units(&text, decimals).ok_or_else(|| {
            Problem::InvalidValue(format!(
                "`{from}`: `{text}` is not a number with at most {decimals} decimals; write for \
                 example 12.5"
            ))
        })?;
        self.set(to, units.to_string());
        Ok(())
    }

    /// The inputs as a request of a transaction endpoint.
    pub fn parse<T: DeserializeOwned>(self) -> Result<T, Problem> {
        let given = self.pairs.iter().filter(|(_, value)| !value.is_empty());
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(given)
            .finish();
        let uri = Uri::builder().path_and_query(format!("/?{query}")).build();
        let uri = uri.map_err(|error| Problem::InvalidValue(error.to_string()))?;
        Query::try_from_uri(&uri)
            .map(|Query(request)| request)
            .map_err(|rejection| {
                let text = rejection.body_text();
                // axum says first that it could not read the query.
                let reason = text
                    .split_once(": ")
                    .map_or(text.as_str(), |(_, reason)| reason);
                // The document doesn't describe the inputs, so none of them violates it.
                Problem::InvalidValue(reason::body_problem(reason).to_string())
            })
    }
}

/// A decimal number in units of `10^-decimals`, exactly. `None` if it is not one, or doesn't fit.
fn units(text: &str, decimals: u8) -> Option<u64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (fraction, places) = (fraction.trim_end_matches('0'), usize::from(decimals));
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || places < fraction.len() {
        return None;
    }
    format!("{whole}{fraction:0<places$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::transactions::markets::BetRequest;

    const KEY: &str = "DriftSh1e1d11111111111111111111111111111111";

    fn input(query: &str) -> Input {
        Input::from_query(&format!("/x?{query}").parse().unwrap())
    }

    #[test]
    fn decimal_numbers_are_exact() {
        assert_eq!(units("1.5", 6), Some(1_500_000));
        assert_eq!(units("0.900", 3), Some(900));
        assert_eq!(units("18446744073709.551615", 6), Some(u64::MAX));
        for text in [
            "",
            ".5",
            "5.",
            "-1",
            "1e3",
            "0.0000001",
            "18446744073709.551616",
        ] {
            assert_eq!(units(text, 6), None, "{text}");
        }
    }

    #[test]
    fn inputs_become_the_request_of_the_endpoint() {
        let mut input = input(&format!(
            "market={KEY}&outcome=1&tokens=2.5&max_rent=&min_slot=3"
        ));
        assert_eq!(input.take_key("market").unwrap(), driftshield_sdk::ID);
        input.scale("tokens", "amount", 6).unwrap();
        input.set("account", KEY.to_owned());
        let request: BetRequest = input.parse().unwrap();
        assert_eq!((request.outcome, request.amount.0), (1, 2_500_000));
        assert!(request.min_multiple.is_none() && request.max_rent.is_none());
    }

    #[test]
    fn data_takes_precedence_over_the_query() {
        let mut input = input("outcome=1&amount=5");
        let data = json!({ "outcome": "2" });
        input.set_all(data.as_object().unwrap()).unwrap();
        input.set("account", KEY.to_owned());
        assert_eq!(input.parse::<BetRequest>().unwrap().outcome, 2);
    }

    #[test]
    fn refusals_name_the_input() {
        let text = |problem: Problem| problem.to_string();
        assert!(text(input("").take_key("market").unwrap_err()).starts_with("`market` is missing"));
        let wrong = input("market=abc").take_key("market").unwrap_err();
        assert!(text(wrong).contains("`abc` is not an address"));
        let both = input("tokens=1&amount=1").scale("tokens", "amount", 6);
        assert!(text(both.unwrap_err()).contains("both given"));
        let mut list = input("");
        let data = json!({ "tokens": ["1"] });
        assert!(text(list.set_all(data.as_object().unwrap()).unwrap_err()).contains("data.tokens"));
        let mut bet = input("outcome=x&amount=1");
        bet.set("account", KEY.to_owned());
        let Err(wrong) = bet.parse::<BetRequest>() else {
            panic!("outcome `x` was accepted");
        };
        let wrong = text(wrong);
        assert!(wrong.contains("outcome"), "{wrong}");
    }
}
