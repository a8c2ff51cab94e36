//! The primes of RFC 2409 section 6 and RFC 3526: of n bits it is 2^n − 2^(n−64) − 1 + 2^64 · ([2^(n−130) · π] + c).
//!
//! So each has ones in its first and last 64 bits, and between them as many bits of π as have room, and c − 1 added.

/// Bits of each prime, and the c of its formula.
pub(super) const PRIMES: [(u32, u32); 8] = [
    (768, 149_686),
    (1024, 129_093),
    (1536, 741_804),
    (2048, 124_476),
    (3072, 1_690_314),
    (4096, 240_904),
    (6144, 929_484),
    (8192, 4_743_158),
];

/// [2^8062 · π]: what stands between the ones of the longest, without c.
const PI: [u8; 1008] = unhex(
    b"\
    c90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b\
    302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5\
    ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f83655d23dca3ad96\
    1c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3be39e772c180e8603\
    9b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa051015728e5a8aaac42d\
    ad33170d04507a33a85521abdf1cba64ecfb850458dbef0a8aea71575d060c7db3970f85a6e1e4c7abf5ae8cdb0933d7\
    1e8c94e04a25619dcee3d2261ad2ee6bf12ffa06d98a0864d87602733ec86a64521f2b18177b200cbbe117577a615d6c\
    770988c0bad946e208e24fa074e5ab3143db5bfce0fd108e4b82d120a92108011a723c12a787e6d788719a10bdba5b26\
    99c327186af4e23c1a946834b6150bda2583e9ca2ad44ce8dbbbc2db04de8ef92e8efc141fbecaa6287c59474e6bc05d\
    99b2964fa090c3a2233ba186515be7ed1f612970cee2d7afb81bdd762170481cd0069127d5b05aa993b4ea988d8fddc1\
    86ffb7dc90a6c08f4df435c93402849236c3fab4d27c7026c1d4dcb2602646dec9751e763dba37bdf8ff9406ad9e530e\
    e5db382f413001aeb06a53ed9027d831179727b0865a8918da3edbebcf9b14ed44ce6cbaced4bb1bdb7f1447e6cc254b\
    332051512bd7af426fb8f401378cd2bf5983ca01c64b92ecf032ea15d1721d03f482d7ce6e74fef6d55e702f46980c82\
    b5a84031900b1c9e59e7c97fbec7e8f323a97a7e36cc88be0f1d45b7ff585ac54bd407b22b4154aacc8f6d7ebf48e1d8\
    14cc5ed20f8037e0a79715eef29be32806a1d58bb7c5da76f550aa3d8a1fbff0eb19ccb1a313d55cda56c9ec2ef29632\
    387fe8d76e3c0468043e8f663f4860ee12bf2d5b0b7474d6e694f91e6dbe115974a3926f12fee5e438777cb6a932df8c\
    d8bec4d073b931ba3bc832b68d9dd300741fa7bf8afc47ed2576f6936ba424663aab639c5ae4f5683423b4742bf1c978\
    238f16cbe39d652de3fdb8befc848ad922222e04a4037c0713eb57a81a23f0c73473fc646cea306b4bcbc8862f8385dd\
    fa9d4b7fa2c087e879683303ed5bdd3a062b3cf5b3a278a66d2a13f83f44f82ddf310ee074ab6a364597e899a0255dc1\
    64f31cc50846851df9ab48195ded7ea1b1d510bd7ee74d73faf36bc31ecfa268359046f4eb879f924009438b481c6cd7\
    889a002ed5ee382bc9190da6fc026e479558e4475677e9aa9e3050e2765694dfc81f56e880b96e7160c980dd98a573ea\
",
);

const fn unhex(digits: &[u8; 2 * 1008]) -> [u8; 1008] {
    const fn value(digit: u8) -> u8 {
        if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 }
    }
    let mut bytes = [0; 1008];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = value(digits[2 * at]) << 4 | value(digits[2 * at + 1]);
        at += 1;
    }
    bytes
}

/// The prime of so many bits, `None` if the two RFCs have none.
pub(super) fn prime(bits: u32) -> Option<Vec<u8>> {
    let (_, c) = PRIMES.into_iter().find(|(of, _)| *of == bits)?;
    let mut prime = vec![0xff; bits as usize / 8];
    let end = prime.len() - 8;
    let middle = &mut prime[8..end];
    middle.copy_from_slice(&PI[..middle.len()]);
    let mut carry = u64::from(c) - 1;
    for byte in middle.iter_mut().rev() {
        let [low, ..] = (u64::from(*byte) + carry).to_le_bytes();
        carry = (u64::from(*byte) + carry) >> 8;
        *byte = low;
    }
    Some(prime)
}

/// True for one of these primes: known to be safe, without a test.
pub(super) fn is_known(bits: u32, candidate: &[u8]) -> bool {
    prime(bits).is_some_and(|prime| prime == candidate)
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;

    use super::*;

    /// [2^bits · π] by Machin's formula: π = 16 arctan(1/5) − 4 arctan(1/239).
    fn pi(bits: u32) -> BigUint {
        // 64 bits more than are needed, for what is lost in rounding.
        let one = BigUint::from(1_u8) << (bits + 64);
        let arctan = |x: u32| {
            let (mut plus, mut minus) = (BigUint::ZERO, BigUint::ZERO);
            let (mut power, mut n) = (&one / x, 1_u32);
            while power > BigUint::ZERO {
                let sum = if n % 4 == 1 { &mut plus } else { &mut minus };
                *sum += &power / n;
                power /= x * x;
                n += 2;
            }
            plus - minus
        };
        (arctan(5) * 16_u8 - arctan(239) * 4_u8) >> 64_u32
    }

    #[test]
    fn the_primes_follow_from_their_formula() {
        let pi = pi(8192 - 130);
        let power = |n: u32| BigUint::from(1_u8) << n;
        for (n, c) in PRIMES {
            let formula = power(n) - power(n - 64) - 1_u8 + power(64) * ((&pi >> (8192 - n)) + c);
            assert_eq!(prime(n), Some(formula.to_bytes_be()), "{n} bits");
            assert!(is_known(n, &formula.to_bytes_be()) && !is_known(n, &(formula + 2_u8).to_bytes_be()));
        }
        assert_eq!(prime(1536 + 64), None);
    }

    #[test]
    fn the_prime_of_group_2_is_that_of_the_rfc() {
        // RFC 2409 section 6.2.
        let rfc = b"ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
                    ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
                    ee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff";
        assert_eq!(prime(1024), BigUint::parse_bytes(rfc, 16).map(|prime| prime.to_bytes_be()));
    }
}
