//! Response bodies that both contracts share. Each is declared once and generated twice: in camel case for the workspace
//! contract (`camel`) and in snake case for the app contract (`snake`).
pub mod contest;
pub mod diagnosis;
pub mod evidence;
pub mod record;
pub mod schemas;
pub mod timeline;

use std::fmt;

/// Declares bodies in the modules `camel` and `snake`, with the names of their schemas under each contract. Bodies of
/// other modules that they contain are named before: `[with evidence::EvidenceBody]`.
macro_rules! in_both_contracts {
    ($([with $($part:ident::$body:ident),*])? $(
        $(#[$about:meta])*
        $name:ident as $workspace:ident in Workspace and $apps:ident in Apps {
            $( $(#[$note:meta])* $field:ident: $kind:ty, )*
        }
    )*) => {
        /// The bodies of the workspace contract.
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

        /// The bodies of the app contract.
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

/// The kind of claimant, in the words of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimant {
    /// In the workspace contract.
    Workspace,
    /// In the app contract.
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
