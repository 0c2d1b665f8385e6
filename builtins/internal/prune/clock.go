package prune

import (
	"context"
	"fmt"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// Believed is how many runs a clock that jumped must have shown before its time
// is believed, and Held how long it must have shown it: three nights for somebody
// to notice.
const (
	Believed = 3
	Held     = Believed * 24 * time.Hour
)

// slack is what the clock may differ by from that of the host that made a copy;
// late is by how much an entry may stand behind younger ones: a run that had to
// wait for others, or to clean up after them, is written with the time of its start.
const (
	slack = 5 * time.Minute
	late  = 24 * time.Hour
)

// Seen is a time that the ledger shows.
type Seen struct {
	At     time.Time
	Begins bool // an earlier run than this one began with it
}

// Leap is how long nothing may be written without it looking like a jump: twice
// what the site allows to be lost of the asset that it saves most often, and two
// days at least, for a nightly run that is late.
func Leap(d ledger.Demands) time.Duration {
	const least = 2 * 24 * time.Hour
	var shortest time.Duration
	for _, a := range d.Assets {
		if a.RPO > 0 && (shortest == 0 || a.RPO < shortest) {
			shortest = a.RPO
		}
	}
	return max(least, 2*shortest)
}

// Enough reports whether times, the newest of the ledger's in its order, reach
// back so far that what lies before them does not matter.
func Enough(seen []Seen, now time.Time) bool {
	runs := 0
	for _, s := range seen {
		if s.Begins {
			runs++
		}
	}
	return runs > Believed && !seen[0].At.After(now.Add(-Held))
}

// clock refuses a time that cannot be trusted.
func clock(in Input) string {
	for _, c := range in.Copies {
		if c.Taken.After(in.Now.Add(slack)) || c.At.After(in.Now.Add(slack)) {
			return fmt.Sprintf("the clock shows %s, and a copy of %s was recorded at %s: the clock went back, or it was wrong then", stamp(in.Now),
				c.Item, stamp(c.Taken))
		}
	}
	before, era, runs := lastJump(in)
	if before.IsZero() || runs >= Believed && in.Now.Sub(era) >= Held {
		return ""
	}
	until := fmt.Sprintf("it is believed from %s on, after %d runs by it", stamp(era.Add(Held)), Believed)
	if era.Before(before) {
		return fmt.Sprintf("the ledger was written at %s, and next at %s: the clock went back, or it was wrong then; %s", stamp(before),
			stamp(era), until)
	}
	return fmt.Sprintf("the ledger was written at %s, and next at %s, %d days later: the clock went forward, or nothing ran for long; %s",
		stamp(before), stamp(era), int(era.Sub(before).Hours()/24), until)
}

// lastJump finds the last time before the clock jumped (zero: it did not), the
// first one after it, and how many runs began since.
func lastJump(in Input) (before, era time.Time, runs int) {
	leap := max(in.Leap, Leap(ledger.Demands{}))
	last := time.Time{}
	for _, s := range append(in.Seen[:len(in.Seen):len(in.Seen)], Seen{At: in.Now}) {
		if !last.IsZero() && (s.At.Sub(last) > leap || s.At.Before(last.Add(-late))) {
			before, era, runs = last, s.At, 0
		}
		if s.Begins {
			runs++
		}
		last = s.At
	}
	return before, era, runs
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Times reads the newest times of the ledger, in its order, as far back as they
// matter to a run that asks now. A ledger that is younger than copies that it knows
// was made anew of them: its first time is compared with theirs.
func Times(ctx context.Context, catalog ledger.Catalog, run string, now time.Time, copies []ledger.Proven) ([]Seen, error) {
	head, err := catalog.Head(ctx)
	if err != nil {
		return nil, err
	}
	for n := int64(1000); ; n *= 4 {
		var seen []Seen
		from := max(0, head.Size-n)
		err := catalog.Entries(ctx, ledger.Filter{From: from}, func(e ledger.Entry) error {
			seen = append(seen, Seen{At: e.Time, Begins: e.Type == ledger.RunBegin && e.Run != run})
			return nil
		})
		if err != nil || len(seen) == 0 {
			return nil, err
		}
		if from > 0 && !Enough(seen, now) {
			continue
		}
		if from == 0 {
			seen = append(newestBefore(copies, seen[0].At), seen...)
		}
		return seen, nil
	}
}

// newestBefore is when the newest copy was made that is older than a time.
func newestBefore(copies []ledger.Proven, before time.Time) []Seen {
	var newest time.Time
	for _, c := range copies {
		if c.Created.Before(before) && c.Created.After(newest) {
			newest = c.Created
		}
	}
	if newest.IsZero() {
		return nil
	}
	return []Seen{{At: newest}}
}
