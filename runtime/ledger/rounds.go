package ledger

import (
	"context"
	"time"
)

// Round is how far the copies of a target are read back again and again, as assets demand
// it (AssetDemand.Reread). Sizes are bytes as they lie there.
type Round struct {
	Target  string    `json:"target"`
	Bytes   int64     `json:"bytes"`                     // of the copies that are to be read again
	Fresh   int64     `json:"read"`                      // of them those that were read within the time that their asset demands
	Overdue int       `json:"overdue,omitempty"`         // copies that were not, and are older than that
	Longest Reread    `json:"longest,omitzero"`          // of those that are overdue
	Budget  int64     `json:"budget,omitempty"`          // of a night; 0: no limit
	Written int64     `json:"written_a_night,omitempty"` // the average of the last month: it is read back when it is written
	Needs   int64     `json:"needed_a_night,omitempty"`  // what comes back in a night when all is kept in time, Written included
	Ends    time.Time `json:"ends,omitzero"`             // when all will have been read in time; zero: it is so, or the budget never allows it
}

// Reread is a copy's time without being read, beside what its asset demands.
type Reread struct {
	Item   string        `json:"item"`
	Unread time.Duration `json:"unread"`
	Every  time.Duration `json:"every"`
}

// Met reports that the budget is enough for what is written and what is read again.
func (r Round) Met() bool { return r.Budget == 0 || r.Needs <= r.Budget }

// month is what is looked back on.
const month = 30 * 24 * time.Hour

const aNight = 24 * time.Hour

// Rounds says of every target how far its copies are read back in time: of those with a
// budget, and of those that hold copies which are to be read again.
func (c Catalog) Rounds(ctx context.Context, d Demands, now time.Time) (out []Round, err error) {
	reread, again := map[string]time.Duration{}, false
	for _, a := range d.Assets {
		reread[a.Name] = a.Reread
		again = again || a.Reread > 0
	}
	for _, t := range d.Targets {
		if t.ReadBudget == 0 && !again {
			continue
		}
		r := Round{Target: t.Name, Budget: t.ReadBudget}
		copies, err := c.Copies(ctx, Query{Target: t.Name})
		if err != nil {
			return nil, err
		}
		read, err := c.LastRead(ctx, Query{Target: t.Name})
		if err != nil {
			return nil, err
		}
		passes, err := c.Readings(ctx, Query{Target: t.Name})
		if err != nil {
			return nil, err
		}
		begun := map[string]int{}
		for _, p := range passes {
			begun[p.Copy] = p.Next
		}
		r.Written = written(copies, now)
		r.Needs = r.Written
		var left int64
		for _, x := range copies {
			every := reread[x.Asset]
			if every == 0 {
				continue
			}
			r.Bytes += x.Bytes
			r.Needs += x.Bytes / max(1, int64(every/aNight))
			last, was := read[x.ID]
			if was && now.Sub(last) <= every {
				r.Fresh += x.Bytes
				continue
			}
			for _, f := range x.Files[min(begun[x.ID], len(x.Files)):] {
				left += f.Size
			}
			if !was {
				last = x.Created
			}
			if unread := now.Sub(last); unread > every {
				r.Overdue++
				if unread > r.Longest.Unread {
					r.Longest = Reread{x.Item, unread, every}
				}
			}
		}
		if spare := r.Budget - r.Written; left > 0 && spare > 0 {
			r.Ends = now.Add(time.Duration((left+spare-1)/spare) * aNight)
		}
		if r.Budget > 0 || r.Bytes > 0 {
			out = append(out, r)
		}
	}
	return out, nil
}

// written is what came to a target in a night of the last month, or since its first copy.
func written(copies []Copy, now time.Time) int64 {
	var sum int64
	first := now
	for _, c := range copies {
		if c.Created.Before(first) {
			first = c.Created
		}
		if now.Sub(c.Created) <= month {
			sum += c.Bytes
		}
	}
	return sum / max(1, int64(min(now.Sub(first), month)/aNight)+1)
}
