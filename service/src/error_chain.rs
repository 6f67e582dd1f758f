//! Error messages with their causes.

use std::error::Error;

/// Returns the error's message followed by the messages of its causes. Leaves out a cause that the
/// message already ends with: many errors include their cause in their own message.
pub fn error_chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let reason = cause.to_string();
        if !message.ends_with(&reason) {
            message.push_str(": ");
            message.push_str(&reason);
        }
        source = cause.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn every_cause_is_in_the_message_once() {
        let error = anyhow!("connection refused")
            .context("transport error: connection refused")
            .context("cannot connect");
        assert_eq!(
            error_chain(error.as_ref()),
            "cannot connect: transport error: connection refused"
        );
    }
}
