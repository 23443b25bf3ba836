//! Indonesian, as people on night duty in Jakarta write it: their English terms (job, alert, heartbeat) stay English.

use ronda_domain::record::OccurrenceStatus;
use ronda_domain::spec::Severity;
use ronda_schemas::event::BlindReason;

use super::{Column, Label, Over, Trouble, Units, Words, Wrong, grouped};
use crate::render::document::{Line, Span, line};
use crate::surface::{Counts, Doubts, KeptBy, NightChange};

/// Nouns have no plural after a number: *1 job*, *2 job*.
pub(super) struct Indonesian;

impl Words for Indonesian {
    fn number(&self, number: u64) -> String {
        grouped(number, '.')
    }

    fn months(&self) -> [&'static str; 12] {
        ["Jan", "Feb", "Mar", "Apr", "Mei", "Jun", "Jul", "Agu", "Sep", "Okt", "Nov", "Des"]
    }

    fn units(&self) -> Units {
        Units { days: "hari", hours: "jam", minutes: "menit", seconds: "detik", millis: "ms" }
    }

    fn some_time(&self) -> &'static str {
        "suatu waktu"
    }

    fn span(&self, from: Span, until: Span) -> Line {
        line![from, " sampai ", until]
    }

    fn more(&self, count: u64) -> String {
        format!("… dan {} lagi", self.number(count))
    }

    fn label(&self, label: Label) -> &'static str {
        match label {
            Label::Job => "Job",
            Label::Due => "Jadwal",
            Label::Started => "Mulai",
            Label::SilentSince => "Diam sejak",
            Label::StartedLate => "Terlambat mulai",
            Label::Failed => "Gagal",
            Label::Noticed => "Terdeteksi",
            Label::Missed => "Batas mulai",
            Label::Ended => "Berakhir",
            Label::AlertSince => "Alert sejak",
            Label::OverdueBy => "Terlambat",
            Label::OverSince => "Alert ditutup",
            Label::Took => "Durasi",
            Label::Usually => "Durasi biasanya",
            Label::LastGood => "Terakhir berhasil",
            Label::Run => "Run",
            Label::BeganWith => "Awalnya",
            Label::Runbook => "Runbook",
            Label::Details => "Detail",
            Label::Acknowledge => "Saya tangani",
            Label::SnoozeHour => "Tunda alert 1 jam",
            Label::SnoozeMorning => "Tunda alert sampai pagi",
        }
    }

    fn column(&self, column: Column) -> &'static str {
        match column {
            Column::Status => "Status",
            Column::Job => "Job",
            Column::Team => "Tim",
            Column::Due => "Jadwal",
            Column::Started => "Mulai",
            Column::Ended => "Berakhir",
            Column::Done => "Beres",
            Column::Detail => "Keterangan",
        }
    }

    fn status(&self, status: OccurrenceStatus) -> &'static str {
        match status {
            OccurrenceStatus::Expected => "menunggu",
            OccurrenceStatus::Running => "berjalan",
            OccurrenceStatus::Succeeded => "berhasil",
            OccurrenceStatus::Failed => "gagal",
            OccurrenceStatus::Cancelled => "dibatalkan",
            OccurrenceStatus::Skipped => "dilewati",
            OccurrenceStatus::Missed => "tidak mulai",
            OccurrenceStatus::Stale => "macet",
            OccurrenceStatus::Unknown => "tidak diketahui",
        }
    }

    fn severity(&self, severity: Severity) -> &'static str {
        match severity {
            Severity::Info => "info",
            Severity::Warning => "peringatan",
            Severity::Critical => "kritis",
        }
    }

    fn tenant(&self, tenant: &str) -> String {
        format!("tenant {tenant}")
    }

    fn team(&self, team: &str) -> String {
        format!("tim {team}")
    }

    fn wrong(&self, wrong: Wrong) -> &'static str {
        match wrong {
            Wrong::Failed => " gagal",
            Wrong::NoHeartbeat => " tidak mengirim heartbeat",
            Wrong::TooLong => " berjalan terlalu lama",
            Wrong::FellSilent => " berhenti melapor",
            Wrong::NotStarted => " belum mulai",
            Wrong::StartedLate => " terlambat mulai",
            Wrong::Succeeded => " berhasil",
            Wrong::Unseen => " berakhir tanpa terpantau",
            Wrong::Cancelled => " dibatalkan",
            Wrong::Skipped => " dilewati",
            Wrong::Expected => " menunggu jadwal",
        }
    }

    fn over(&self, over: &Over) -> String {
        match over {
            Over::Alive => " aktif kembali".to_owned(),
            Over::Recovered => " pulih".to_owned(),
            Over::Cancelled => " dibatalkan".to_owned(),
            Over::CompletedLate(Some(late)) => format!(" selesai, {}", self.after_due(late)),
            Over::CompletedLate(None) => " selesai terlambat".to_owned(),
            Over::Paused => ": alert ditutup, scheduler dijeda".to_owned(),
            Over::Removed => ": alert ditutup, scheduler dihapus".to_owned(),
        }
    }

    fn in_a_row(&self, count: u32) -> String {
        format!("{} kali berturut-turut", self.number(count.into()))
    }

    fn since(&self, at: Span) -> Line {
        line!["sejak ", at]
    }

    fn lasted(&self, duration: &str) -> String {
        format!("berlangsung {duration}")
    }

    fn exit_code(&self, code: i32) -> String {
        format!("exit code {code}")
    }

    fn after_due(&self, duration: &str) -> String {
        format!("{duration} setelah jadwal")
    }

    fn before(&self) -> &'static str {
        "sebelumnya: "
    }

    fn maybe_repeat(&self) -> &'static str {
        "Pesan ini mungkin duplikat: pesan sebelumnya tidak bisa diperiksa."
    }

    fn told_late(&self, by: &str) -> String {
        format!("Pesan ini terlambat {by}: sebelumnya tidak bisa dikirim.")
    }

    fn kept_back(&self, by: KeptBy) -> &'static str {
        match by {
            KeptBy::Snooze => "Pesan ini terlambat karena alert scheduler ini ditunda.",
            KeptBy::QuietHours => "Pesan ini terlambat karena jam tenang.",
            KeptBy::Maintenance => "Pesan ini terlambat karena pemeliharaan.",
        }
    }

    fn acknowledged(&self, by: &str, at: Span) -> Line {
        line!["Ditangani oleh ", by, " sejak ", at]
    }

    fn muted(&self, until: Span, by: &str) -> Line {
        line!["Alert ditunda sampai ", until, " oleh ", by]
    }

    fn still_wrong(&self, name: Span, wrong: Wrong) -> Line {
        line!["Penundaan alert berakhir, tetapi belum pulih: ", name, self.wrong(wrong)]
    }

    fn wrong_again(&self, name: Span, wrong: Wrong) -> Line {
        line![name, self.wrong(wrong), ", dan belum ada yang menangani"]
    }

    fn escalated(&self, name: Span, wrong: Wrong, at: Option<Span>) -> Line {
        let mut line = line![name, self.wrong(wrong)];
        line.extend(at.into_iter().flat_map(|at| line![" pada ", at]));
        line
    }

    fn started_late(&self, name: Span, after_due: Option<&str>) -> Line {
        let mut line = line![name, self.wrong(Wrong::StartedLate)];
        line.extend(after_due.map(|late| Span::text(format!(", {}", self.after_due(late)))));
        line
    }

    fn turned(&self, name: Span, wrong: Wrong, due: Option<Span>, before: Wrong, before_at: Option<Span>) -> Line {
        let mut line = line![name, self.wrong(wrong)];
        line.extend(due.into_iter().flat_map(|due| line![", jadwal ", due]));
        line.push(Span::text(format!("; sebelumnya{}", self.wrong(before))));
        line.extend(before_at.into_iter().flat_map(|at| line![", ", at]));
        line
    }

    fn ended(&self, name: Span, over: &Over, lasted: &str) -> Line {
        match over {
            Over::Recovered | Over::Alive => line![name, self.over(over), format!(" setelah {lasted}")],
            _ => line![name, self.over(over)],
        }
    }

    fn after_the_end(&self, name: Span, wrong: Wrong, at: Span) -> Line {
        line!["Setelah malam ditutup: ", name, self.wrong(wrong), ", ", at]
    }

    fn also_among(&self) -> &'static str {
        "Alert ini juga mencakup:"
    }

    fn worse_among(&self) -> &'static str {
        "Memburuk di antara alert ini:"
    }

    fn under_way(&self) -> &'static str {
        "sedang berjalan"
    }

    fn problems_so_far(&self, problems: u32) -> String {
        format!("{} masalah sejauh ini", self.number(problems.into()))
    }

    fn verdict(&self, counts: &Counts, doubts: Doubts) -> String {
        let problems = format!("{} masalah", self.number(counts.problems().into()));
        let open = format!("{} belum selesai", self.number(counts.open().into()));
        match (counts.problems() > 0, counts.open() > 0, doubts.any()) {
            (false, false, false) => "semua aman".to_owned(),
            (false, false, true) => "berakhir, tetapi data tidak lengkap".to_owned(),
            (false, true, _) => format!("berakhir, {open}"),
            (true, false, _) => format!("berakhir dengan {problems}"),
            (true, true, _) => format!("berakhir dengan {problems}, {open}"),
        }
    }

    fn in_all(&self, occurrences: u32, jobs: u32) -> String {
        format!("total {} jadwal dari {} job", self.number(occurrences.into()), self.number(jobs.into()))
    }

    fn change(&self, change: &NightChange) -> String {
        let parts = [(change.new, "baru"), (change.fixed, "pulih"), (change.again, "terulang")];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = parts.map(|(count, word)| format!("{} {word}", self.number(count.into()))).collect();
        let parts = parts.join(", ");
        match change.is_yesterday {
            true => format!("Dibanding malam sebelumnya: {parts}"),
            false => format!("Dibanding malam {}: {parts}", change.date),
        }
    }

    fn doubts(&self, doubts: Doubts) -> String {
        let mut parts = Vec::new();
        if doubts.batches > 0 {
            parts.push(format!("{} kelompok event tidak bisa dibaca", self.number(doubts.batches.into())));
        }
        if doubts.rows > 0 {
            parts.push(format!("{} baris data tidak bisa dibaca", self.number(doubts.rows.into())));
        }
        if doubts.untracked {
            parts.push("jumlah jadwal melebihi yang bisa dipantau".to_owned());
        }
        format!("Data malam ini tidak lengkap: {}.", parts.join(", "))
    }

    fn closed(&self, at: Span) -> Line {
        line!["ditutup ", at]
    }

    fn done_of(&self, done: u32, total: u32) -> String {
        format!("{} dari {}", self.number(done.into()), self.number(total.into()))
    }

    fn again(&self) -> &'static str {
        "malam sebelumnya juga"
    }

    fn problem(&self, name: Span, status: OccurrenceStatus, due: Span) -> Line {
        line![name, format!(": {}, jadwal ", self.status(status)), due]
    }

    fn several_problems(&self, problems: u32) -> String {
        format!(" ({} masalah)", self.number(problems.into()))
    }

    fn still_open(&self, open: u32, due: Span) -> Line {
        line![format!("; {} belum selesai, jadwal ", self.number(open.into())), due]
    }

    fn more_jobs(&self, count: u64) -> String {
        format!("… dan {} job lagi", self.number(count))
    }

    fn blind(&self, duration: &str) -> Line {
        line![Span::bold("Ronda tidak bisa memantau"), format!(" selama {duration}")]
    }

    fn blind_reason(&self, reason: BlindReason) -> &'static str {
        match reason {
            BlindReason::NoPulse => "Tidak ada gateway yang berjalan, atau tidak ada yang bisa menjangkau antrean.",
            BlindReason::ClockStep => "Jam salah satu gateway diubah.",
            BlindReason::LostFrames => "Antrean kehilangan pesan yang sudah dikonfirmasi.",
        }
    }

    fn blind_concerned(&self, jobs: u32) -> String {
        match jobs {
            0 => "tidak ada job yang berjalan atau terjadwal".to_owned(),
            some => format!("{} job berjalan atau terjadwal", self.number(some.into())),
        }
    }

    fn blind_consequence(&self) -> &'static str {
        "Job yang ditunggu saat itu diberi waktu lagi; yang hasilnya tidak bisa dipastikan dicatat sebagai tidak diketahui."
    }

    fn ended_unknown(&self, count: u32) -> String {
        format!("{} berakhir tanpa diketahui hasilnya:", self.number(count.into()))
    }

    fn due_at(&self, name: Span, due: Span) -> Line {
        line![name, ", jadwal ", due]
    }

    fn alerts_at_once(&self, count: u64, since: Span) -> Line {
        line![Span::bold(format!("{} alert sekaligus", self.number(count))), " sejak ", since]
    }

    fn alerts_caught_up(&self, count: u64, since: Span) -> Line {
        line![Span::bold(format!("{} alert", self.number(count))), " selama pesan tidak bisa dikirim, sejak ", since]
    }

    fn alerts_kept_back(&self, by: KeptBy, count: u64, since: Span) -> Line {
        let kept = match by {
            KeptBy::Snooze => " tertahan karena ditunda, sejak ",
            KeptBy::QuietHours => " tertahan karena jam tenang, sejak ",
            KeptBy::Maintenance => " tertahan karena pemeliharaan, sejak ",
        };
        line![Span::bold(format!("{} alert", self.number(count))), kept, since]
    }

    fn of_them_over(&self, over: u64) -> String {
        format!(", {} ditutup", self.number(over))
    }

    fn all_over(&self) -> &'static str {
        ", semua ditutup"
    }

    fn of_team(&self, count: u64, team: &str) -> String {
        format!("{} dari {}", self.number(count), self.team(team))
    }

    fn named_in_thread(&self, count: u64) -> String {
        format!("… dan {} lagi, disebutkan di thread", self.number(count))
    }

    fn how_to_acknowledge(&self) -> &'static str {
        "Menangani salah satunya? "
    }

    fn trouble(&self, trouble: &Trouble<'_>) -> Line {
        match trouble {
            Trouble::LostFrames { count, partition, .. } => line![
                Span::bold(format!("Antrean kehilangan {} frame", self.number(*count))),
                format!(" di partisi {partition}"),
            ],
            Trouble::Destination { channel, code } => {
                line![Span::bold("Pesan tidak bisa dikirim"), format!(" ke {channel}: {code}")]
            }
            Trouble::Refused { channel, code } => {
                line![Span::bold("Pesan ditolak"), format!(" oleh {channel} dalam semua bentuk: {code}")]
            }
            Trouble::UnreadableEvents { partition } => {
                line![Span::bold("Event tidak bisa dibaca"), format!(": partisi {partition} dari antrean event rusak")]
            }
            Trouble::UnreadableRows { rows } => line![
                Span::bold("Data notifier tidak bisa dibaca"),
                format!(": {} baris dilewati", self.number((*rows).into())),
            ],
            Trouble::ClockHeld { partition, ahead, .. } => line![
                Span::bold("Penilaian status berhenti"),
                format!(" di partisi {partition}: jamnya lebih cepat {ahead}"),
            ],
        }
    }

    fn trouble_at(&self, trouble: &Trouble<'_>, at: Span) -> Line {
        match trouble {
            Trouble::LostFrames { first, last, gateway, .. } => {
                line![format!("Nomor {first} sampai {last} dari gateway {gateway:016x}, terdeteksi hilang pada "), at]
            }
            Trouble::ClockHeld { clock, wall, .. } => {
                line!["Jam partisi menunjukkan ", clock.clone(), ", sedangkan jam sebuah gateway ", wall.clone()]
            }
            _ => line!["Sejak ", at],
        }
    }

    fn trouble_consequence(&self, trouble: &Trouble<'_>) -> String {
        match trouble {
            Trouble::LostFrames { .. } => "Frame itu sudah dikonfirmasi antrean. Laporan job di dalamnya dianggap tidak diterima. Periksa \
                apakah antrean dan store berasal dari direktori data yang sama, serta periksa disk antrean dan fsync-nya."
                .to_owned(),
            Trouble::Destination { .. } => "Pesan disimpan dan akan dikirim setelah masalah ini diperbaiki.".to_owned(),
            Trouble::Refused { .. } => "Pesan disimpan dan dicoba lagi setiap jam; pesan yang dimaksud tercatat di log.".to_owned(),
            Trouble::UnreadableEvents { .. } => "Event itu dilewati, jadi mungkin ada alert yang tidak muncul, dan malam yang masih terbuka tidak akan \
                dinyatakan aman. Riwayat job tidak terpengaruh."
                .to_owned(),
            Trouble::UnreadableRows { .. } => "Pesan yang terkait mungkin terkirim sekali lagi, dan malam yang masih terbuka tidak akan dinyatakan aman."
                .to_owned(),
            Trouble::ClockHeld { gateway, ahead, .. } => format!(
                "Laporan tetap diterima, tetapi selama {ahead} tidak ada yang dinyatakan tidak mulai, macet, atau terlambat. Periksa jam gateway \
                 {gateway:016x}; langkahnya ada di docs/operations.md, \"A clock that is ahead\"."
            ),
        }
    }
}
