//! The few elements of SVG that the picture is made of. All text is escaped here and nowhere else.

use std::fmt::Write as _;

/// An average character of the text's font, in pixels: too wide rather than too narrow.
const CHARACTER: f64 = 6.9;

/// Elements in the order in which they are painted.
#[derive(Default)]
pub(super) struct Svg {
    body: String,
}

/// How wide a text is, about.
pub(super) fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER
}

impl Svg {
    /// A text; `class` says how it looks and which end of it is at `x`.
    pub(super) fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        self.element(&format!("<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{}</text>", escape(text)));
    }

    /// A rectangle that is never thinner than half a pixel, with words for whoever points at it.
    pub(super) fn block(&mut self, area: Area, class: &str, words: &str) {
        let Area { left, top, right, bottom } = area;
        let (width, height) = ((right - left).max(0.5), bottom - top);
        let place = format!("x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"");
        self.element(&format!("<rect class=\"{class}\" {place}><title>{}</title></rect>", escape(words)));
    }

    /// A step of the row of a handover.
    pub(super) fn step(&mut self, area: Area, class: &str) {
        let Area { left, top, right, bottom } = area;
        let (width, height) = ((right - left).max(0.5), bottom - top);
        let place = format!("x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"");
        self.element(&format!("<rect class=\"{class}\" data-row=\"step\" {place}/>"));
    }

    /// A straight line.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.element(&format!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// A dot.
    pub(super) fn dot(&mut self, x: f64, y: f64, class: &str) {
        self.element(&format!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"));
    }

    /// A filled line from point to point.
    pub(super) fn shape(&mut self, points: &[(f64, f64)], class: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.element(&format!("<polygon class=\"{class}\" points=\"{}\"/>", points.join(" ")));
    }

    /// What follows until [`Svg::close`] belongs together.
    pub(super) fn open(&mut self, words: &str) {
        self.element(&format!("<g><title>{}</title>", escape(words)));
    }

    pub(super) fn close(&mut self) {
        self.element("</g>");
    }

    /// The whole document.
    pub(super) fn finish(self, width: f64, height: f64, title: &str, words: &str, style: &str) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-labelledby=\"title desc\">\n\
             <title id=\"title\">{}</title>\n<desc id=\"desc\">{}</desc>\n<style>{style}</style>\n\
             <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{}</svg>\n",
            escape(title),
            escape(words),
            self.body
        );
        out
    }

    fn element(&mut self, text: &str) {
        self.body.push_str(text);
        self.body.push('\n');
    }
}

/// An area, in pixels from the left and from the top.
#[derive(Clone, Copy)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

/// Text between tags. Characters that XML forbids become the replacement character.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}
