//! Enum schemas of the model's stable words, from the model's own lists.
use std::borrow::Cow;

use deed_claims::Status;
use deed_diagnosis::Code;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! words {
    ($($(#[$doc:meta])* $schema:ident named $name:literal about $text:literal: $words:expr;)*) => {$(
        $(#[$doc])*
        pub struct $schema;

        impl PartialSchema for $schema {
            fn schema() -> RefOr<Schema> {
                let words: Vec<&str> = $words;
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .description(Some($text))
                    .enum_values(Some(words))
                    .into()
            }
        }

        impl ToSchema for $schema {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    )*};
}

words! {
    /// [`Status`] in descriptions.
    StatusSchema named "Status" about "Where a claim stands":
        Status::ALL.iter().map(|status| status.as_str()).collect();
    /// [`Code`] in descriptions.
    CodeSchema named "DiagnosisCode" about "What is wrong, for programs":
        Code::ALL.iter().map(|code| code.as_str()).collect();
    /// [`deed_diagnosis::Class`] in descriptions.
    ClassSchema named "DiagnosisClass"
        about "Whether it waits for you, passes by itself, is for good, or is trouble of our own":
        vec!["waiting", "transient", "permanent", "internal"];
    /// [`deed_claims::CheckCause`] in descriptions.
    CauseSchema named "CheckCause" about "Why a check was made": vec!["first", "manual", "schedule"];
    /// [`deed_claims::CheckOutcome`] in descriptions.
    OutcomeSchema named "CheckOutcome" about "What a check found":
        vec!["proven", "absent", "blocked", "unknown", "refused"];
    /// [`deed_claims::ContestAnswer`] in descriptions.
    AnswerSchema named "ContestAnswer" about "What the present holder says": vec!["accept", "dispute"];
    /// [`deed_diagnosis::Transport`] in descriptions.
    TransportSchema named "Transport" about "How a question travelled": vec!["udp", "tcp"];
    /// [`deed_diagnosis::Security`] in descriptions.
    SecuritySchema named "Security" about "What DNSSEC says":
        vec!["secure", "insecure", "bogus", "indeterminate"];
    /// [`deed_diagnosis::Signatures`] in descriptions.
    SignaturesSchema named "Signatures" about "The time-frame of an answer's signatures":
        vec!["current", "expired", "not_yet_valid"];
    /// [`deed_diagnosis::RoutingState`] in descriptions.
    RoutingSchema named "RoutingState"
        about "Where a hostname leads: to its target, nowhere, to something else, or to a proxy that hides what is behind":
        vec!["ok", "missing", "elsewhere", "proxied"];
}

#[cfg(test)]
mod tests {
    use deed_claims::{CheckCause, CheckOutcome, ContestAnswer};
    use deed_diagnosis::{Class, RoutingState, Security, Signatures, Transport};
    use serde::Serialize;
    use serde_json::{Value, json};

    use super::*;

    fn listed<T: PartialSchema>() -> Value {
        serde_json::to_value(T::schema()).unwrap()["enum"].clone()
    }

    fn written<T: Serialize>(values: &[T]) -> Value {
        json!(values)
    }

    #[test]
    fn schemas_list_every_serialized_word() {
        assert_eq!(listed::<StatusSchema>(), written(Status::ALL));
        assert_eq!(listed::<CodeSchema>(), written(Code::ALL));
        let classes = [Class::Waiting, Class::Transient, Class::Permanent, Class::Internal];
        assert_eq!(listed::<ClassSchema>(), written(&classes));
        let causes = [CheckCause::First, CheckCause::Manual, CheckCause::Schedule];
        assert_eq!(listed::<CauseSchema>(), written(&causes));
        let outcomes = [
            CheckOutcome::Proven,
            CheckOutcome::Absent,
            CheckOutcome::Blocked,
            CheckOutcome::Unknown,
            CheckOutcome::Refused,
        ];
        assert_eq!(listed::<OutcomeSchema>(), written(&outcomes));
        assert_eq!(listed::<AnswerSchema>(), written(&[ContestAnswer::Accept, ContestAnswer::Dispute]));
        assert_eq!(listed::<TransportSchema>(), written(&[Transport::Udp, Transport::Tcp]));
        let securities = [Security::Secure, Security::Insecure, Security::Bogus, Security::Indeterminate];
        assert_eq!(listed::<SecuritySchema>(), written(&securities));
        let signatures = [Signatures::Current, Signatures::Expired, Signatures::NotYetValid];
        assert_eq!(listed::<SignaturesSchema>(), written(&signatures));
        let states =
            [RoutingState::Ok, RoutingState::Missing, RoutingState::Elsewhere, RoutingState::Proxied];
        assert_eq!(listed::<RoutingSchema>(), written(&states));
    }
}
