//! Why a check did not prove the record.
use deed_claims::{Class, Code, Diagnosis};

use super::in_both_styles;
use super::words::{ClassWord, CodeWord};

in_both_styles! {
    /// Why the last check did not prove the record.
    DiagnosisBody as Diagnosis in A and AppDiagnosis in B {
        #[schema(value_type = CodeWord)]
        code: Code,
        #[schema(value_type = ClassWord)]
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

macro_rules! made_of_diagnoses {
    ($($style:ident)*) => {$(
        impl From<&Diagnosis> for $style::DiagnosisBody {
            fn from(d: &Diagnosis) -> Self {
                let Diagnosis { code, class, message, fix, observed, clears_in } = d.clone();
                Self { code, class, message, fix, observed, clears_in }
            }
        }
    )*};
}
made_of_diagnoses! { camel snake }
