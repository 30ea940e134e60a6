//! What a model's publisher allows.

/// The licence of a model's weights, as far as a user has to know it before a download and at a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Licence {
    /// What it is called, as its publisher writes it.
    pub name: &'static str,
    /// Whether results may be sold.
    pub commercial: Commercial,
    /// Whether it is accepted on the model's page, by an account whose token the hub then asks for.
    pub gated: bool,
}

/// Whether a licence allows commercial use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commercial {
    /// It does.
    Allowed,
    /// Under conditions that the licence names: by size of the company, by agreement.
    Conditional,
    /// It does not.
    Forbidden,
}

impl Licence {
    /// Anybody may use it for anything, and the hub asks for no token.
    pub const APACHE_2_0: Self =
        Self { name: "Apache-2.0", commercial: Commercial::Allowed, gated: false };

    /// What it forbids, or allows under conditions only, of the weights called `title`: a sentence without a
    /// full stop. `None` where any use is allowed.
    pub fn warning(&self, title: &str) -> Option<String> {
        let name = self.name;
        match self.commercial {
            Commercial::Allowed => None,
            Commercial::Conditional => Some(format!(
                "the weights of {title} allow commercial use under conditions only ({name})"
            )),
            Commercial::Forbidden => {
                Some(format!("the weights of {title} are not for commercial use ({name})"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_restricted_warns() {
        assert_eq!(Licence::APACHE_2_0.warning("X"), None);
        let of = |commercial| Licence { name: "CC-BY-NC-4.0", commercial, gated: false };
        let forbidden = of(Commercial::Forbidden).warning("X").unwrap();
        assert_eq!(forbidden, "the weights of X are not for commercial use (CC-BY-NC-4.0)");
        let conditional = of(Commercial::Conditional).warning("X").unwrap();
        assert!(conditional.contains("under conditions only"), "{conditional}");
    }
}
