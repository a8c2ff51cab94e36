//! Making subscribers and home agents known.

use std::net::Ipv4Addr;

use record::{HomeAgent, Subscriber, SubscriberState};
use wire::mip::Spi;

use super::{Answer, Enrol, Kdc, Refusal, check};

impl Kdc {
    /// Makes a subscriber with a fresh KEY 0 and an index above 511. A revoked one may be enrolled anew; its
    /// generation goes on, so that what was remembered of the old KEY 0 is never taken for the new one's.
    pub(super) fn enrol(&mut self, ask: &Enrol) -> Result<Answer, Refusal> {
        let nai = check::own_nai("the subscriber", &ask.nai, &self.realm)?;
        let home_address = match ask.home_address.as_str() {
            "" => Ipv4Addr::UNSPECIFIED,
            text => check::host("home address", text)?,
        };
        let gateway = match ask.home_gateway.as_str() {
            "" => None,
            text => Some(check::host("home gateway", text)?),
        };
        let home_agent = check::host("home agent's address", &ask.home_agent)?;
        let home_prefix_length = if home_address.is_unspecified() {
            // The home link is the one that the home agent is on, and it may be the router itself.
            check::home(home_agent, ask.home_prefix_length, gateway.filter(|router| *router != home_agent))?
        } else {
            check::home(home_address, ask.home_prefix_length, gateway)?
        };
        if home_agent == home_address {
            let why = "it is the home address itself";
            return Err(Refusal::Address { what: "home agent's address", text: ask.home_agent.clone(), why });
        }
        let cipher = ask.cipher.ok_or(Refusal::Cipher)?;
        let max_lifetime = match ask.max_lifetime {
            0 => None,
            n => Some(u16::try_from(n).map_err(|_| Refusal::Lifetime(n, 0))?),
        };
        let generation = match self.ledger.subscriber(nai.as_str()) {
            Some(known) if known.state == SubscriberState::Active => {
                return Err(Refusal::AlreadyEnrolled(nai));
            }
            Some(known) => known.generation.saturating_add(1),
            None => 0,
        };
        if let Some(owner) = self.ledger.owner_of(home_address) {
            return Err(Refusal::HomeAddressTaken { address: home_address, owner: owner.clone() });
        }
        if ask.dry_run {
            return Ok(Answer::WouldDo);
        }
        let subscriber = Subscriber {
            nai,
            key0: self.rng.key(),
            spi: self.fresh_spi(),
            one_time: !ask.static_spi && ask.plain.is_none(),
            generation,
            retiring: None,
            plain: ask.plain,
            cipher,
            home_address,
            home_prefix_length,
            home_agent,
            home_gateway: gateway,
            // Who does not know our extensions cannot have key shares.
            no_fs: ask.no_fs || ask.plain.is_some(),
            state: SubscriberState::Active,
            max_lifetime,
            change: self.ledger.next_change(),
        };
        self.ledger.put_subscriber(subscriber.duplicate());
        Ok(Answer::Enrolled(subscriber))
    }

    /// An index that no subscriber has or had.
    pub(super) fn fresh_spi(&mut self) -> Spi {
        loop {
            let spi = self.rng.u32();
            if spi >= Spi::FIRST_MOBILE_NODE.0 && !self.ledger.has_spi(spi) {
                return Spi(spi);
            }
        }
    }

    /// Registers a home agent of this realm.
    pub(super) fn register(
        &mut self,
        name: &str,
        address: &str,
        dry_run: bool,
        time: u64,
    ) -> Result<Answer, Refusal> {
        check::agent_name("the home agent", name)?;
        check::own_nai("the home agent", name, &self.realm)?;
        let address = match address {
            "" => None,
            text => Some(check::host("home agent's address", text)?),
        };
        if self.ledger.home_agent(name).is_some() {
            return Err(Refusal::AlreadyRegistered(name.to_owned()));
        }
        if dry_run {
            return Ok(Answer::WouldDo);
        }
        self.ledger.put_home_agent(HomeAgent { name: name.to_owned(), address, registered: time });
        Ok(Answer::Registered)
    }
}
