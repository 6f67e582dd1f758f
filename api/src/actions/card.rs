//! What a wallet or a blink shows of an action.

use serde::Serialize;
use utoipa::ToSchema;

use super::ActionError;

/// Description of an action.
#[derive(Serialize, ToSchema)]
pub struct ActionCard {
    /// Always `action`.
    #[serde(rename = "type")]
    #[schema(example = "action")]
    kind: &'static str,
    /// Absolute URL of an SVG.
    icon: String,
    title: String,
    description: String,
    /// Text of the button: at most five words, a verb first.
    pub label: &'static str,
    /// Whether the action can't be taken now; `error` says why.
    pub disabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<ActionLinks>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ActionError>,
}

#[derive(Serialize, ToSchema)]
struct ActionLinks {
    actions: [LinkedAction; 1],
}

/// An action with inputs.
#[derive(Serialize, ToSchema)]
struct LinkedAction {
    /// Always `transaction`.
    #[serde(rename = "type")]
    #[schema(example = "transaction")]
    kind: &'static str,
    /// URL to POST to, with the inputs' names in braces.
    href: String,
    label: &'static str,
    parameters: Vec<ActionParameter>,
}

/// An input of an action.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionParameter {
    /// `text`, `number`, `radio` or `select`.
    #[serde(rename = "type")]
    kind: &'static str,
    pub name: &'static str,
    label: &'static str,
    required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern_description: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<Vec<ActionOption>>,
}

/// A value of an input.
#[derive(Serialize, ToSchema)]
pub struct ActionOption {
    pub label: String,
    pub value: String,
}

impl ActionParameter {
    /// A decimal number.
    pub fn number(name: &'static str, label: &'static str) -> Self {
        Self {
            kind: "text", // a number would be rounded by some clients
            name,
            label,
            required: true,
            pattern: Some("^[0-9]+(\\.[0-9]+)?$"),
            pattern_description: Some("a number, such as 12.5"),
            options: None,
        }
    }

    pub fn choice(name: &'static str, label: &'static str, options: Vec<ActionOption>) -> Self {
        Self {
            kind: "radio",
            name,
            label,
            required: true,
            pattern: None,
            pattern_description: None,
            options: Some(options),
        }
    }

    /// Any text.
    pub fn text(name: &'static str, label: &'static str) -> Self {
        Self {
            kind: "text",
            name,
            label,
            required: true,
            pattern: None,
            pattern_description: None,
            options: None,
        }
    }
}

impl ActionCard {
    pub fn new(label: &'static str, title: String, description: String) -> Self {
        Self {
            kind: "action",
            icon: String::new(),
            title,
            description,
            label,
            disabled: false,
            links: None,
            error: None,
        }
    }

    /// Adds inputs. `url` is that of the action, with what is given already in its query.
    pub fn with_parameters(self, url: &str, parameters: Vec<ActionParameter>) -> Self {
        if parameters.is_empty() {
            return self;
        }
        let names = parameters.iter().map(|parameter| parameter.name);
        let inputs: String = names.map(|name| format!("&{name}={{{name}}}")).collect();
        let linked = LinkedAction {
            kind: "transaction",
            href: format!("{url}{inputs}"),
            label: self.label,
            parameters,
        };
        Self {
            links: Some(ActionLinks { actions: [linked] }),
            ..self
        }
    }

    /// Disables the action if there is a reason.
    pub fn unless(self, reason: Option<&str>) -> Self {
        Self {
            disabled: reason.is_some(),
            error: reason.map(|reason| ActionError {
                message: reason.to_owned(),
            }),
            ..self
        }
    }

    /// `base` is the URL under which the client reaches the API.
    pub fn with_icon(self, base: &str) -> Self {
        Self {
            icon: format!("{base}/api/v1/actions/icon.svg"),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_named_in_the_link() {
        let card = ActionCard::new("Place a bet", String::new(), String::new());
        let inputs = vec![ActionParameter::number("tokens", "Tokens")];
        let card = card.with_parameters("/api/v1/actions/bet?market=x", inputs);
        let json = serde_json::to_value(card.with_icon("https://a.b")).unwrap();
        assert_eq!(
            json["links"]["actions"][0]["href"],
            "/api/v1/actions/bet?market=x&tokens={tokens}"
        );
        assert_eq!(json["icon"], "https://a.b/api/v1/actions/icon.svg");
        assert_eq!(json["type"], "action");
    }
}
