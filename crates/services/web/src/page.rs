//! The frame around a page.

use maud::{DOCTYPE, Markup, html};

/// A page around `body`, with styles and scripts by their names among the server's assets.
pub fn page(title: &str, styles: &[&str], script: Option<&str>, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" type="image/svg+xml" href="/assets/icon.svg";
                @for style in styles {
                    link rel="stylesheet" href={ "/assets/" (style) };
                }
                @if let Some(script) = script {
                    script type="module" src={ "/assets/" (script) } {}
                }
            }
            body { (body) }
        }
    };
    page.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_no_markup() {
        let title = "<script>alert(1)</script>";
        let page = page(title, &[], None, &html! { p { (title) } });
        assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains("<script>alert"));
    }
}
