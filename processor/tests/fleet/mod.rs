//! A fleet on a stage: gateways with clocks of their own that stall, die, leave and join, clients that stick to one of them, and a
//! queue between them and one partition. Driven by one clock that nobody in it sees.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "each test file uses its own part of the fleet"
)]

use std::collections::{BTreeMap, VecDeque};

use ronda_domain::id::MessageId;
use ronda_domain::input::{HeartbeatReport, Input, ReportedStatus};
use ronda_domain::spec::SchedulerSpec;
use ronda_schemas::command::Command;
use ronda_schemas::frame::{CommandBuffer, FrameHeader, FrameKind, Refused};

use crate::stage::{Stage, register, report, second};

pub const PULSE_MS: i64 = 1_000;
/// A gateway gives a frame up when it was not confirmed for so long.
const GIVE_UP_MS: i64 = 5_000;
/// A client whose connection broke, or that was answered 503, tries again after this.
const AGAIN_MS: i64 = 500;

/// A gateway that was stalled isn't again before this has passed.
const RESTED_MS: i64 = 20_000;

/// What a client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Start,
    Beat,
    End,
}

/// A job and the client that reports for it.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: String,
    pub spec: SchedulerSpec,
    /// Whether its reports name their run.
    pub is_named: bool,
    /// It starts at each multiple of this (with a schedule), or sends a heartbeat (without); in milliseconds.
    pub every_ms: i64,
    /// How long it takes, in milliseconds.
    pub takes_ms: i64,
    /// The gateway that it sticks to while that one takes connections; `None`: any.
    pub sticks_to: Option<usize>,
    /// After so long without an answer it sends the same to another gateway, in milliseconds.
    pub patience_ms: Option<i64>,
    /// From then on it says nothing more.
    pub dies_at_ms: i64,
}

/// What befalls a gateway.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Stall { for_ms: i64 },
    Kill,
    Leave,
    Join,
}

#[derive(Clone, Debug)]
struct Request {
    job: usize,
    /// Which of the job's words it is, so that an answer to an older copy is none to a newer one.
    word_number: u64,
    word: Word,
    run: Option<String>,
}

#[derive(Clone, Debug)]
struct InFlight {
    number: u64,
    requests: Vec<Request>,
    has_arrived: bool,
    is_leave: bool,
    sent_ms: i64,
}

#[derive(Clone, Debug, Default)]
struct Gateway {
    offset_ms: i64,
    began_ms: i64,
    number: u64,
    is_up: bool,
    has_joined: bool,
    is_leaving: bool,
    is_gone: bool,
    /// The end of its last stall.
    stalled_until_ms: i64,
    /// What reached its socket while it was stalled.
    socket: VecDeque<Request>,
    buffer: Vec<(i64, Request)>,
    in_flight: Option<InFlight>,
    abandoned: Vec<u64>,
    last_frame_ms: i64,
}

#[derive(Clone, Debug)]
enum Event {
    Fault(usize, Fault),
    Wake(usize),
    Pulse(usize),
    /// The queue takes a frame.
    Arrive(usize, u64, bytes::Bytes),
    Confirmed(usize, u64),
    /// A job's next word is due.
    Due(usize),
    Reach(usize, Request),
    Impatient(usize, u64),
}

struct Client {
    job: Job,
    next: VecDeque<(i64, Word, Option<String>)>,
    word_number: u64,
    waiting: Option<Request>,
    round: i64,
    gateway: usize,
}

pub struct Fleet {
    pub stage: Stage,
    now_ms: i64,
    events: BTreeMap<(i64, u64), Event>,
    order: u64,
    random: u64,
    gateways: Vec<Gateway>,
    clients: Vec<Client>,
}

impl Fleet {
    /// A fleet of gateways with these clocks, in milliseconds beside the true time. All jobs are registered when it begins.
    pub fn new(seed: u64, offsets_ms: &[i64], jobs: &[Job]) -> Self {
        let mut fleet = Self {
            stage: Stage::new(),
            now_ms: 0,
            events: BTreeMap::new(),
            order: 0,
            random: seed | 1,
            gateways: Vec::new(),
            clients: Vec::new(),
        };
        let registrations: Vec<_> = jobs.iter().map(|job| register(&job.id, job.spec.clone())).collect();
        let first = crate::stage::frame(&header(u64::MAX, 1, -5_000, 0, FrameKind::Join), &registrations);
        fleet.stage.take(first);
        fleet.stage.take(crate::stage::frame(&header(u64::MAX, 2, -5_000, 0, FrameKind::Leave), &[]));
        for offset_ms in offsets_ms {
            fleet.add_gateway(*offset_ms);
        }
        for job in jobs {
            let client = Client {
                job: job.clone(),
                next: VecDeque::new(),
                word_number: 0,
                waiting: None,
                round: 0,
                gateway: job.sticks_to.unwrap_or(0),
            };
            fleet.clients.push(client);
            let id = fleet.clients.len() - 1;
            let at = 1_000 + fleet.below(1_000);
            fleet.at(at, Event::Due(id));
        }
        fleet
    }

    pub fn fault(&mut self, at_ms: i64, gateway: usize, fault: Fault) {
        self.at(at_ms, Event::Fault(gateway, fault));
    }

    /// Goes on until this time.
    pub fn run(&mut self, until_ms: i64) {
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= until_ms) {
            self.now_ms = entry.key().0;
            let event = entry.remove();
            self.happen(event);
        }
        self.now_ms = until_ms;
    }

    fn below(&mut self, bound: i64) -> i64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        i64::try_from(self.random >> 33).unwrap() % bound.max(1)
    }

    fn at(&mut self, at_ms: i64, event: Event) {
        self.order += 1;
        self.events.insert((at_ms.max(self.now_ms), self.order), event);
    }

    fn after(&mut self, ms: i64, event: Event) {
        self.at(self.now_ms + ms, event);
    }

    fn add_gateway(&mut self, offset_ms: i64) {
        let (began_ms, stalled_until_ms) = (self.now_ms, self.now_ms - RESTED_MS);
        let gateway = Gateway { offset_ms, began_ms, stalled_until_ms, is_up: true, ..Gateway::default() };
        self.gateways.push(gateway);
        let id = self.gateways.len() - 1;
        self.close(id, FrameKind::Join);
        self.after(PULSE_MS, Event::Pulse(id));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Fault(gateway, fault) => self.befall(gateway, fault),
            Event::Wake(gateway) => self.wake(gateway),
            Event::Pulse(gateway) => self.pulse(gateway),
            Event::Arrive(gateway, number, bytes) => {
                self.stage.take(bytes);
                if let Some(sent) = self.gateways[gateway].in_flight.as_mut().filter(|sent| sent.number == number) {
                    sent.has_arrived = true;
                    let late = self.gateways[gateway].stalled_until_ms.max(self.now_ms);
                    self.at(late + 1, Event::Confirmed(gateway, number));
                }
            }
            Event::Confirmed(gateway, number) => self.confirmed(gateway, number),
            Event::Due(client) => self.due(client),
            Event::Reach(gateway, request) => self.reach(gateway, request),
            Event::Impatient(client, word_number) => {
                if let Some(request) = self.clients[client].waiting.clone().filter(|one| one.word_number == word_number)
                {
                    self.send(request, true);
                }
            }
        }
    }

    fn befall(&mut self, id: usize, fault: Fault) {
        let now = self.now_ms;
        if let Fault::Join = fault {
            let offset_ms = self.below(3_001) - 1_500;
            self.add_gateway(offset_ms);
            return;
        }
        let others = self.gateways.iter().enumerate().filter(|(other, one)| *other != id && one.takes_requests());
        if self.gateways.get(id).is_none_or(|one| !one.takes_requests()) || others.count() == 0 {
            return;
        }
        match fault {
            // One after the other is a longer one, for which nothing is promised.
            Fault::Stall { .. } if self.gateways[id].stalled_until_ms + RESTED_MS > now => {}
            Fault::Stall { for_ms } => {
                self.gateways[id].stalled_until_ms = now + for_ms;
                // What it was sending is with the queue already, or waits with it.
                if self.below(2) == 0 {
                    self.hold_back(id, now + for_ms);
                }
                self.at(now + for_ms, Event::Wake(id));
            }
            Fault::Kill => {
                let gateway = &mut self.gateways[id];
                gateway.is_up = false;
                let lost = gateway.socket.drain(..).chain(gateway.buffer.drain(..).map(|(_, request)| request));
                let mut lost: Vec<_> = lost.collect();
                let in_flight = gateway.in_flight.take();
                lost.extend(in_flight.into_iter().flat_map(|sent| sent.requests));
                if self.below(2) == 0 {
                    self.events.retain(|_, event| !matches!(event, Event::Arrive(of, ..) if *of == id));
                }
                for request in lost {
                    self.refused(&request);
                }
            }
            Fault::Leave => {
                self.gateways[id].is_leaving = true;
                self.go_on(id);
            }
            Fault::Join => {}
        }
    }

    fn hold_back(&mut self, id: usize, until_ms: i64) {
        let is_its = |event: &Event| matches!(event, Event::Arrive(of, ..) if *of == id);
        let keys: Vec<_> = self.events.iter().filter(|(_, event)| is_its(event)).map(|(key, _)| *key).collect();
        for key in keys {
            let event = self.events.remove(&key).unwrap();
            self.at(until_ms + 1, event);
        }
    }

    fn wake(&mut self, id: usize) {
        let now = self.now_ms;
        let late = self.gateways[id].in_flight.as_ref().is_some_and(|sent| now - sent.sent_ms >= GIVE_UP_MS);
        if late && self.below(2) == 0 {
            let gateway = &mut self.gateways[id];
            let sent = gateway.in_flight.take().unwrap();
            gateway.abandoned.push(sent.number);
            if self.below(2) == 0 && !sent.has_arrived {
                self.events.retain(
                    |_, event| !matches!(event, Event::Arrive(of, number, _) if (*of, *number) == (id, sent.number)),
                );
            }
            for request in sent.requests {
                self.refused(&request);
            }
        }
        self.pulse_now(id);
        let mut waiting = std::mem::take(&mut self.gateways[id].socket);
        while !waiting.is_empty() {
            // Connections are served in any order.
            let index = usize::try_from(self.below(i64::try_from(waiting.len()).unwrap())).unwrap();
            let request = waiting.remove(index).unwrap();
            let after = 1 + self.below(5);
            self.after(after, Event::Reach(id, request));
        }
    }

    fn pulse(&mut self, id: usize) {
        if !self.gateways[id].is_up || self.gateways[id].is_gone {
            return;
        }
        self.pulse_now(id);
        let next = self.gateways[id].stalled_until_ms.max(self.now_ms + PULSE_MS);
        self.at(next, Event::Pulse(id));
    }

    fn pulse_now(&mut self, id: usize) {
        let gateway = &self.gateways[id];
        let is_due = self.now_ms - gateway.last_frame_ms >= PULSE_MS;
        if is_due && gateway.in_flight.is_none() && self.now_ms >= gateway.stalled_until_ms && gateway.is_up {
            self.close(id, FrameKind::Normal);
        }
    }

    /// Sends the next frame if there is anything to send.
    fn go_on(&mut self, id: usize) {
        let gateway = &self.gateways[id];
        if gateway.in_flight.is_some() || !gateway.is_up || gateway.is_gone || self.now_ms < gateway.stalled_until_ms {
            return;
        }
        if !gateway.buffer.is_empty() {
            self.close(id, FrameKind::Normal);
        } else if gateway.is_leaving {
            self.close(id, FrameKind::Leave);
        }
    }

    fn close(&mut self, id: usize, kind: FrameKind) {
        let now = self.now_ms;
        let gateway = &mut self.gateways[id];
        gateway.number += 1;
        gateway.last_frame_ms = now;
        let mut header = header(id as u64, gateway.number, now + gateway.offset_ms, now - gateway.began_ms, kind);
        header.abandoned = std::mem::take(&mut gateway.abandoned);
        let taken = std::mem::take(&mut gateway.buffer);
        let mut buffer = CommandBuffer::default();
        for (received_ms, request) in &taken {
            let run_id = request.run.as_deref();
            let input = match request.word {
                Word::Beat => Input::Heartbeat(HeartbeatReport { run_id, occurred_at: None, progress: None }),
                Word::Start => Input::Status(report(ReportedStatus::Running, run_id)),
                Word::End => Input::Status(report(ReportedStatus::Success, run_id)),
            };
            let scheduler = &self.clients[request.job].job.id;
            let age_ms = u32::try_from(now - received_ms).unwrap();
            // Whoever says a thing twice and names no run says that it is the same thing, by an Idempotency-Key.
            let key = MessageId { source: 1 << 40, sequence: request.word_number, index: request.job as u32 };
            let message = request.run.is_none().then_some(key);
            buffer.push(&Command { tenant: "acme", scheduler, age_ms, input, message }).unwrap();
        }
        let requests = taken.into_iter().map(|(_, request)| request).collect();
        let number = header.number;
        let is_leave = kind == FrameKind::Leave;
        gateway.in_flight = Some(InFlight { number, requests, has_arrived: false, is_leave, sent_ms: now });
        let takes = 1 + self.below(30);
        self.after(takes, Event::Arrive(id, number, buffer.into_frame(&header)));
    }

    fn confirmed(&mut self, id: usize, number: u64) {
        let gateway = &mut self.gateways[id];
        if !gateway.is_up || gateway.in_flight.as_ref().is_none_or(|sent| sent.number != number) {
            return;
        }
        // It was stalled again meanwhile.
        if gateway.stalled_until_ms > self.now_ms {
            let at = gateway.stalled_until_ms + 1;
            self.at(at, Event::Confirmed(id, number));
            return;
        }
        gateway.has_joined = true;
        let sent = gateway.in_flight.take().unwrap();
        gateway.is_gone = sent.is_leave;
        for request in sent.requests {
            let client = &mut self.clients[request.job];
            if client.waiting.as_ref().is_some_and(|waiting| waiting.word_number == request.word_number) {
                client.waiting = None;
                self.after(1, Event::Due(request.job));
            }
        }
        self.go_on(id);
    }

    /// The client's next word, once the one before is answered.
    fn due(&mut self, id: usize) {
        let now = self.now_ms;
        let client = &mut self.clients[id];
        if client.waiting.is_some() || now >= client.job.dies_at_ms {
            return;
        }
        if client.next.is_empty() {
            client.plan(now);
        }
        let Some((at, word, run)) = client.next.front().cloned() else { return };
        if at > now {
            self.at(at, Event::Due(id));
            return;
        }
        client.next.pop_front();
        client.word_number += 1;
        let request = Request { job: id, word_number: client.word_number, word, run };
        client.waiting = Some(request.clone());
        self.send(request, false);
    }

    /// To the gateway that the client sticks to, if that takes connections; else, or if it is impatient, to another one.
    fn send(&mut self, request: Request, elsewhere: bool) {
        let takes = |one: &Gateway| one.takes_requests();
        let Client { job, gateway, word_number, .. } = &self.clients[request.job];
        let (sticks, before, word_number, patience) =
            (job.sticks_to.is_some(), *gateway, *word_number, job.patience_ms);
        let stays = sticks && !elsewhere && self.gateways.get(before).is_some_and(takes);
        let to = if stays {
            before
        } else {
            let able = |(id, one): (usize, &Gateway)| (takes(one) && !(elsewhere && id == before)).then_some(id);
            let able: Vec<_> = self.gateways.iter().enumerate().filter_map(able).collect();
            if able.is_empty() {
                return self.refused(&request);
            }
            able[usize::try_from(self.below(i64::try_from(able.len()).unwrap())).unwrap()]
        };
        self.clients[request.job].gateway = to;
        if let Some(patience_ms) = patience {
            self.after(patience_ms, Event::Impatient(request.job, word_number));
        }
        let takes = 1 + self.below(5);
        self.after(takes, Event::Reach(to, request));
    }

    /// Not taken: the client says it again.
    fn refused(&mut self, request: &Request) {
        let client = &self.clients[request.job];
        if client.waiting.as_ref().is_some_and(|waiting| waiting.word_number == request.word_number) {
            let (job, word_number) = (request.job, request.word_number);
            self.after(AGAIN_MS, Event::Impatient(job, word_number));
        }
    }

    fn reach(&mut self, id: usize, request: Request) {
        let now = self.now_ms;
        let gateway = &mut self.gateways[id];
        if !gateway.takes_requests() {
            return self.refused(&request);
        }
        if now < gateway.stalled_until_ms {
            gateway.socket.push_back(request);
            return;
        }
        gateway.buffer.push((now, request));
        self.go_on(id);
    }
}

impl Gateway {
    const fn takes_requests(&self) -> bool {
        self.is_up && self.has_joined && !self.is_leaving
    }
}

impl Client {
    fn plan(&mut self, now: i64) {
        let every = self.job.every_ms;
        if self.job.takes_ms == 0 {
            self.round = (self.round + every).max(now);
            self.next.push_back((self.round, Word::Beat, None));
            return;
        }
        // The first time that is not past.
        self.round = (self.round + every).max(now.div_euclid(every) * every);
        let start = self.round;
        let run = self.job.is_named.then(|| format!("run-{start}"));
        self.next.push_back((start, Word::Start, run.clone()));
        self.next.push_back((start + self.job.takes_ms, Word::End, run));
    }
}

fn header(gateway: u64, number: u64, wall_ms: i64, mono_ms: i64, kind: FrameKind) -> FrameHeader {
    FrameHeader {
        gateway,
        number,
        wall: second(0).plus_millis(wall_ms),
        mono_ms: u64::try_from(mono_ms).unwrap(),
        kind,
        abandoned: Vec::new(),
        refused: Refused::Nobody,
    }
}
