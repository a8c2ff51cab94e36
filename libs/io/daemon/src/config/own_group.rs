//! A group of one's own for stateless keys, named by a prime and a generator (docs/wire.md, negotiation).

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use serde::Deserialize;

use super::Check;

/// The key of what is wrong, and what is allowed.
pub type GroupFault = (&'static str, String);

/// Tests prime and generator, with groups below 2,048 bits or without, and random numbers from a seed. It tells which of
/// both is wrong, by its key, and what is allowed.
pub type GroupTest = fn(&[u8], &[u8], bool, [u8; 32]) -> Result<(), GroupFault>;

/// Prime and generator, both without leading zeros.
type Numbers = (Vec<u8>, Vec<u8>);

/// A group of one's own: a prime p, where (p - 1) / 2 is prime too, and a generator.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnGroup {
    /// The prime in hexadecimal digits; spaces and line ends between them mean nothing.
    pub prime: Option<String>,
    /// A file of such digits in place of it.
    pub prime_file: Option<PathBuf>,
    /// The generator in hexadecimal digits.
    #[serde(default = "two")]
    pub generator: String,
}

fn two() -> String {
    "2".to_owned()
}

/// Larger files are not read: a prime of 8,192 bits has 2,048 digits.
const LONGEST_FILE: u64 = 65_536;

impl OwnGroup {
    /// Prime and generator.
    ///
    /// # Errors
    /// Which key is wrong, and what is allowed.
    pub fn numbers(&self) -> Result<(Vec<u8>, Vec<u8>), GroupFault> {
        let (key, prime) = match (&self.prime, &self.prime_file) {
            (Some(digits), None) => ("prime", number(digits)),
            (None, Some(path)) => {
                let told = |error: &dyn fmt::Display| ("prime_file", format!("{}: {error}", path.display()));
                let length = fs::metadata(path).map_err(|error| told(&error))?.len();
                if length > LONGEST_FILE {
                    return Err(told(&"too long for a prime of at most 8192 bits in hexadecimal digits"));
                }
                ("prime_file", number(&fs::read_to_string(path).map_err(|error| told(&error))?))
            }
            _ => return Err(("prime", "one of prime and prime_file must stand here".to_owned())),
        };
        let only = || "only hexadecimal digits are allowed, and spaces between them".to_owned();
        let prime = prime.ok_or_else(|| (key, only()))?;
        Ok((prime, number(&self.generator).ok_or_else(|| ("generator", only()))?))
    }

    /// Reports what is wrong with it, at most one thing. What passed once is not tested again by this process.
    pub(super) fn check(&self, at: &str, legacy: bool, test: GroupTest, check: &mut Check) {
        static PASSED: Mutex<BTreeSet<(Numbers, bool)>> = Mutex::new(BTreeSet::new());
        let passed = || PASSED.lock().unwrap_or_else(PoisonError::into_inner);
        let tested = self.numbers().and_then(|numbers| {
            if passed().contains(&(numbers.clone(), legacy)) {
                return Ok(());
            }
            let seed = crate::seed().map_err(|error| ("prime", error.to_string()))?;
            test(&numbers.0, &numbers.1, legacy, seed).map_err(|(key, message)| {
                let in_file = key == "prime" && self.prime_file.is_some();
                (if in_file { "prime_file" } else { key }, message)
            })?;
            passed().insert((numbers, legacy));
            Ok(())
        });
        if let Err((key, message)) = tested {
            check.problem(format!("{at}.{key}"), message);
        }
    }
}

/// For a person, and to be compared.
impl fmt::Display for OwnGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.numbers() {
            Ok((prime, generator)) => {
                write!(f, "prime {}, generator {}", digits(&prime), digits(&generator))
            }
            Err((key, message)) => write!(f, "{key}: {message}"),
        }
    }
}

fn digits(number: &[u8]) -> String {
    number.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A number of hexadecimal digits, without leading zeros; `None` if something else stands between them.
fn number(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().filter(|of| !of.is_whitespace()).map(|of| of.to_digit(16));
    let digits: Vec<u8> = digits.map(|of| u8::try_from(of?).ok()).collect::<Option<_>>()?;
    let first = digits.iter().position(|digit| *digit != 0).unwrap_or(digits.len());
    // From the right, so that an odd number of digits begins with half an octet.
    let mut octets: Vec<u8> =
        digits[first..].rchunks(2).map(|two| two.iter().fold(0, |octet, digit| octet << 4 | digit)).collect();
    octets.reverse();
    (!digits.is_empty()).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> OwnGroup {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn numbers_are_read_however_their_digits_stand() {
        let group = read("prime = \"\"\"\n  00 0f b1\n  2C\n\"\"\"");
        assert_eq!(group.numbers(), Ok((vec![0x0f, 0xb1, 0x2c], vec![2])));
        assert_eq!(group.to_string(), "prime 0fb12c, generator 02");
        let group = read("prime = 'fb'\ngenerator = '105'");
        assert_eq!(group.numbers(), Ok((vec![0xfb], vec![1, 5])));
        assert_eq!(read("prime = '0'").numbers().unwrap().0, Vec::<u8>::new());
    }

    #[test]
    fn what_is_no_number_is_told_by_its_key() {
        for (text, key) in [
            ("generator = '2'", "prime"),
            ("prime = 'fb'\nprime_file = 'x'", "prime"),
            ("prime = ''", "prime"),
            ("prime = '0xfb'", "prime"),
            ("prime = 'fb'\ngenerator = 'two'", "generator"),
            ("prime_file = '/nowhere/prime.hex'", "prime_file"),
        ] {
            let (told, message) = read(text).numbers().unwrap_err();
            assert_eq!(told, key, "{text}: {message}");
        }
        assert!(toml::from_str::<OwnGroup>("prime = 'fb'\norder = '1'").is_err());
    }

    #[test]
    fn a_file_holds_the_digits_and_is_blamed_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prime.hex");
        let group = read(&format!("prime_file = '{}'", path.display()));
        fs::write(&path, "fb 17\n").unwrap();
        assert_eq!(group.numbers().unwrap().0, [0xfb, 0x17]);
        let problems = |test: GroupTest| {
            let mut check = Check::default();
            group.check("negotiation.home_agent.own_group", false, test, &mut check);
            check.problems().iter().map(|it| format!("{}: {}", it.key, it.message)).collect::<Vec<_>>()
        };
        let refused = problems(|_, _, _, _| Err(("prime", "too short".to_owned())));
        assert_eq!(refused, ["negotiation.home_agent.own_group.prime_file: too short"]);
        let refused = problems(|_, _, _, _| Err(("generator", "one".to_owned())));
        assert_eq!(refused, ["negotiation.home_agent.own_group.generator: one"]);
        assert!(problems(|_, _, _, _| Ok(())).is_empty());
        // What passed is not tested again; another one is.
        assert!(problems(|_, _, _, _| Err(("prime", "again".to_owned()))).is_empty());
        fs::write(&path, "fb 19\n").unwrap();
        assert_eq!(problems(|_, _, _, _| Err(("prime", "again".to_owned()))).len(), 1);
        fs::write(&path, "f".repeat(65_537)).unwrap();
        assert_eq!(group.numbers().unwrap_err().0, "prime_file");
    }
}
