//! When the pods' links follow the node's MTU, and what is reported: a state machine, (state, event) to (state, actions). It
//! needs no time, because the loop says when to look, and it asks no kernel: [`super::keep`] carries out the actions.
//!
//! One look is under way at a time. An MTU that comes meanwhile is followed after it, and of several the last; a result with
//! another number is ignored.

use super::Followed;

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// The MTUs that pods inherited since the node booted, the present one last.
    Asked(Vec<u32>),
    /// The result of the look with this number.
    Followed(u64, Result<Followed, String>),
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Bring the links that inherited one of `former` to `now`.
    Follow {
        number: u64,
        now: u32,
        former: Vec<u32>,
    },
    /// The pods that keep a former MTU, and why.
    Publish(Vec<String>),
    Log(Notice),
}

/// What to log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    Changed { pod: String, mtu: u32 },
    Kept(String),
    NotLooked(String),
}

/// The state.
#[derive(Debug)]
pub(super) struct Machine {
    number: u64,
    /// The MTU of the look that is under way.
    under_way: Option<u32>,
    next: Option<Vec<u32>>,
    kept: Vec<String>,
}

impl Machine {
    /// `kept` is what was published before.
    pub(super) fn new(kept: Vec<String>) -> Self {
        Self { number: 0, under_way: None, next: None, kept }
    }

    /// Takes in an event.
    pub(super) fn on(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Asked(since_boot) => self.next = Some(since_boot),
            Event::Followed(number, followed) if number == self.number => {
                if let Some(mtu) = self.under_way.take() {
                    self.followed(mtu, followed, &mut actions);
                }
            }
            Event::Followed(..) => {}
        }
        if self.under_way.is_none()
            && let Some(since_boot) = self.next.take()
        {
            self.begin(&since_boot, &mut actions);
        }
        actions
    }

    fn begin(&mut self, since_boot: &[u32], actions: &mut Vec<Action>) {
        self.number += 1;
        match since_boot.split_last() {
            Some((now, former)) => {
                self.under_way = Some(*now);
                actions.push(Action::Follow { number: self.number, now: *now, former: former.to_vec() });
            }
            // Without an MTU no pod keeps a former one.
            None => {
                self.kept.clear();
                actions.push(Action::Publish(Vec::new()));
            }
        }
    }

    fn followed(&mut self, mtu: u32, followed: Result<Followed, String>, actions: &mut Vec<Action>) {
        match followed {
            Ok(Followed { changed, kept }) => {
                actions.extend(changed.into_iter().map(|pod| Action::Log(Notice::Changed { pod, mtu })));
                let new = kept.iter().filter(|why| !self.kept.contains(why));
                actions.extend(new.map(|why| Action::Log(Notice::Kept(why.clone()))));
                self.kept.clone_from(&kept);
                actions.push(Action::Publish(kept));
            }
            Err(error) => actions.push(Action::Log(Notice::NotLooked(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(pod: &str) -> Result<Followed, String> {
        Ok(Followed { changed: vec!["new".to_owned()], kept: vec![pod.to_owned()] })
    }

    fn follow(number: u64, now: u32, former: &[u32]) -> Action {
        Action::Follow { number, now, former: former.to_vec() }
    }

    #[test]
    fn an_mtu_that_comes_during_a_look_is_followed_after_it_and_a_late_result_is_ignored() {
        let mut machine = Machine::new(Vec::new());
        assert_eq!(machine.on(Event::Asked(vec![1500, 1400])), [follow(1, 1400, &[1500])]);
        assert_eq!(machine.on(Event::Asked(vec![1500, 1400, 9000])), [], "one look at a time");
        assert_eq!(machine.on(Event::Asked(vec![1400, 9000, 1500])), []);
        let actions = machine.on(Event::Followed(1, kept("a")));
        let changed = Action::Log(Notice::Changed { pod: "new".to_owned(), mtu: 1400 });
        let published = Action::Publish(vec!["a".to_owned()]);
        let logged = Action::Log(Notice::Kept("a".to_owned()));
        assert_eq!(actions, [changed, logged, published, follow(2, 1500, &[1400, 9000])], "the last one counts");
        assert_eq!(machine.on(Event::Followed(1, kept("late"))), []);
    }

    #[test]
    fn a_pod_that_keeps_its_mtu_is_logged_once_and_a_failed_look_leaves_what_was_published() {
        let mut machine = Machine::new(vec!["a".to_owned()]);
        let logged = |actions: &[Action]| actions.iter().filter(|a| matches!(a, Action::Log(Notice::Kept(_)))).count();
        machine.on(Event::Asked(vec![1500]));
        assert_eq!(logged(&machine.on(Event::Followed(1, kept("a")))), 0, "it was known before");
        machine.on(Event::Asked(vec![1500]));
        let failed = machine.on(Event::Followed(2, Err("no".to_owned())));
        assert_eq!(failed, [Action::Log(Notice::NotLooked("no".to_owned()))]);
        machine.on(Event::Asked(vec![1500]));
        assert_eq!(logged(&machine.on(Event::Followed(3, kept("b")))), 1);
    }

    #[test]
    fn without_an_mtu_nothing_is_looked_at_and_nothing_is_kept() {
        let mut machine = Machine::new(vec!["a".to_owned()]);
        assert_eq!(machine.on(Event::Asked(Vec::new())), [Action::Publish(Vec::new())]);
    }
}
