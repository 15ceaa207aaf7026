//! What both contracts show of a claim, to its own workspace alone. A body is declared once and made twice: in the style
//! of contract A (`camel`) and in that of contract B (`snake`).
pub mod contest;
pub mod diagnosis;
pub mod evidence;
pub mod record;
pub mod schemas;
pub mod timeline;

use std::fmt;

/// Declares bodies in the modules `camel` and `snake`, under the names that their schemas have in A and in B. Bodies of
/// other modules that they consist of are named before: `[with evidence::EvidenceBody]`.
macro_rules! in_both_contracts {
    ($([with $($part:ident::$body:ident),*])? $(
        $(#[$about:meta])*
        $name:ident as $workspace:ident in Workspace and $apps:ident in Apps {
            $( $(#[$note:meta])* $field:ident: $kind:ty, )*
        }
    )*) => {
        /// As contract A writes it.
        pub mod camel {
            use super::*;
            $($( use crate::bodies::$part::camel::$body; )*)?
            $(
                $(#[$about])*
                #[derive(Debug, serde::Serialize, utoipa::ToSchema)]
                #[serde(rename_all = "camelCase")]
                #[schema(as = $workspace)]
                pub struct $name { $( $(#[$note])* pub $field: $kind, )* }
            )*
        }

        /// As contract B writes it.
        pub mod snake {
            use super::*;
            $($( use crate::bodies::$part::snake::$body; )*)?
            $(
                $(#[$about])*
                #[derive(Debug, serde::Serialize, utoipa::ToSchema)]
                #[serde(rename_all = "snake_case")]
                #[schema(as = $apps)]
                pub struct $name { $( $(#[$note])* pub $field: $kind, )* }
            )*
        }
    };
}
use in_both_contracts;

/// Who claims, in the words of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimant {
    /// Contract A.
    Workspace,
    /// Contract B.
    App,
}

impl fmt::Display for Claimant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workspace => "workspace",
            Self::App => "app",
        })
    }
}
