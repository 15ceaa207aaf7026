//! What is wrong with a body, and where.
use std::fmt;

use deed_claims::name::Excerpt;
use serde_json::{Value, json};
use serde_path_to_error::Segment;

/// What is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The connection ended before the body did.
    #[error("the body did not arrive")]
    Incomplete,
    /// The content type is not JSON.
    #[error("a JSON body is needed: send it with `Content-Type: application/json`")]
    ContentType,
    /// No body.
    #[error("a JSON body is needed and there is none")]
    Empty,
    /// Not JSON.
    #[error("the body is not valid JSON: error in line {line}, column {column}")]
    Syntax {
        /// The line of the error.
        line: usize,
        /// The column of the error.
        column: usize,
    },
    /// JSON, and no object.
    #[error("the body has to be a JSON object")]
    NotAnObject,
    /// A required field is missing.
    #[error("the field `{field}` is missing")]
    Missing {
        /// The field.
        field: FieldPath,
    },
    /// A field that does not exist.
    #[error("there is no field `{field}`")]
    Unknown {
        /// The field.
        field: FieldPath,
    },
    /// A field that is given twice.
    #[error("the field `{field}` is given twice")]
    Duplicate {
        /// The field.
        field: FieldPath,
    },
    /// A field with a value of another type.
    #[error("{}: {problem}", FieldLabel(field))]
    Invalid {
        /// The field.
        field: FieldPath,
        /// What is wrong with it.
        problem: Excerpt,
    },
}

/// A path in a body, such as `domains[3]`; empty for the body as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(Vec<PathSegment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum PathSegment {
    Key(Excerpt),
    Index(usize),
}

struct FieldLabel<'a>(&'a FieldPath);

impl fmt::Display for FieldLabel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.0.is_empty() { f.write_str("the body") } else { write!(f, "the field `{}`", self.0) }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                PathSegment::Key(key) if i == 0 => write!(f, "{key}")?,
                PathSegment::Key(key) => write!(f, ".{key}")?,
                PathSegment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl FieldPath {
    fn of(path: &serde_path_to_error::Path) -> Self {
        let steps = path.iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(PathSegment::Index(*index)),
            Segment::Map { key } => Some(PathSegment::Key(Excerpt::of(key))),
            Segment::Enum { variant } => Some(PathSegment::Key(Excerpt::of(variant))),
            Segment::Unknown => None,
        });
        Self(steps.collect())
    }

    /// The path to a field of this object; serde may have appended the key already.
    fn then(mut self, key: &str) -> Self {
        let step = PathSegment::Key(Excerpt::of(key));
        if self.0.last() != Some(&step) {
            self.0.push(step);
        }
        self
    }
}

impl BodyError {
    fn path(&self) -> Option<&FieldPath> {
        match self {
            Self::Incomplete | Self::ContentType | Self::Empty | Self::Syntax { .. } | Self::NotAnObject => {
                None
            }
            Self::Missing { field }
            | Self::Unknown { field }
            | Self::Duplicate { field }
            | Self::Invalid { field, .. } => Some(field),
        }
    }

    /// The invalid field, if the error is about one.
    pub fn field(&self) -> Option<String> {
        self.path().filter(|path| !path.0.is_empty()).map(ToString::to_string)
    }

    /// The same path as a JSON array that begins with `body`.
    pub fn location(&self) -> Value {
        let steps = self.path().map(|path| path.0.as_slice()).unwrap_or_default();
        let steps = steps.iter().map(|step| match step {
            PathSegment::Key(key) => json!(key.as_str()),
            PathSegment::Index(index) => json!(index),
        });
        Value::Array(std::iter::once(json!("body")).chain(steps).collect())
    }

    /// The stable error type for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Incomplete | Self::Empty | Self::Missing { .. } => "missing",
            Self::ContentType => "content_type",
            Self::Syntax { .. } => "json_invalid",
            Self::Unknown { .. } => "extra_forbidden",
            Self::NotAnObject | Self::Duplicate { .. } | Self::Invalid { .. } => "type_error",
        }
    }

    pub(crate) fn of(e: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        use serde_json::error::Category;
        let inner = e.inner();
        match inner.classify() {
            Category::Syntax | Category::Eof | Category::Io => {
                return Self::Syntax { line: inner.line(), column: inner.column() };
            }
            Category::Data => {}
        }
        let (field, text) = (FieldPath::of(e.path()), inner.to_string());
        // serde_json distinguishes these three only in its message.
        let quoted =
            |prefix: &str| text.strip_prefix(prefix)?.split_once('`').map(|(name, _)| name.to_owned());
        if let Some(name) = quoted("missing field `") {
            return Self::Missing { field: field.then(&name) };
        }
        if let Some(name) = quoted("unknown field `") {
            return Self::Unknown { field: field.then(&name) };
        }
        if let Some(name) = quoted("duplicate field `") {
            return Self::Duplicate { field: field.then(&name) };
        }
        let problem = text.rsplit_once(" at line ").map_or(text.as_str(), |(problem, _)| problem);
        Self::Invalid { field, problem: Excerpt::of(problem) }
    }
}
