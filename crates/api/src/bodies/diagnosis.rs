//! Why a check did not prove the record.
use deed_diagnosis::{Class, Code, Diagnosis};

use super::in_both_contracts;
use super::schemas::{ClassSchema, CodeSchema};

in_both_contracts! {
    /// Why the last check did not prove the record.
    DiagnosisBody as Diagnosis in Workspace and AppDiagnosis in Apps {
        #[schema(value_type = CodeSchema)]
        code: Code,
        #[schema(value_type = ClassSchema)]
        class: Class,
        /// What was looked for, who was asked and what was seen.
        message: String,
        /// What to do.
        fix: String,
        /// Values seen, escaped and cut.
        observed: Vec<String>,
        /// After how many seconds it may have passed by itself, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        clears_in: Option<u32>,
    }
}

macro_rules! impl_from_diagnosis {
    ($($case:ident)*) => {$(
        impl From<&Diagnosis> for $case::DiagnosisBody {
            fn from(d: &Diagnosis) -> Self {
                let Diagnosis { code, class, observed, clears_in, .. } = d.clone();
                Self { code, class, message: d.message(), fix: d.fix(), observed, clears_in }
            }
        }
    )*};
}
impl_from_diagnosis! { camel snake }
