package report

import (
	"context"
	"fmt"

	"github.com/neosofia/runner/runtime/ledger"
)

// rounds says how far copies are read back again, and of which it is too long ago. A medium
// that is away cannot be read: it is not judged until it is back.
func (b *builder) rounds(ctx context.Context) error {
	rounds, err := b.c.Rounds(ctx, b.j.d, b.j.now)
	if err != nil {
		return err
	}
	for _, r := range rounds {
		b.out.Rounds = append(b.out.Rounds, r)
		t, _ := b.j.d.Target(r.Target)
		if r.Overdue == 0 || t.Offline && b.j.media.last[t.Name].State != "attached" {
			continue
		}
		f := ledger.Finding{Severity: ledger.DegradedRun, Target: r.Target, Type: b.verb("exec", "policies/reread.star"),
			Text: fmt.Sprintf("%s on %s not read back in time: the longest, of %s, not for %s, demanded: every %s", copiesWere(r.Overdue),
				r.Target, r.Longest.Item, span(r.Longest.Unread), span(r.Longest.Every))}
		switch {
		case !r.Met():
			f.Type = fmt.Sprintf("in site.star: read_budget = \"%dMiB/night\" in target(name = %q): as it is, it is never done", r.Needs>>20+1,
				r.Target)
		case !r.Ends.IsZero():
			f.Text += "; all will be by " + dayOf(r.Ends, b.j.now)
		}
		b.need(f)
	}
	return nil
}

func copiesWere(n int) string {
	if n == 1 {
		return "1 copy was"
	}
	return fmt.Sprintf("%d copies were", n)
}

func (s *Status) rounds(p *printer, rounds []ledger.Round) {
	for _, r := range rounds {
		p.wrap("", s.roundWords(r))
	}
}

// roundWords say how far the reading is: "offsite: 120.0 of 300.0 GiB were read in time,
// at most 5.0 GiB a night; all will be by 5 Jan".
func (s *Status) roundWords(r ledger.Round) string {
	text := fmt.Sprintf("%s: ", r.Target)
	switch {
	case r.Bytes == 0:
		text += "what is written is read back"
	case r.Fresh == r.Bytes:
		text += fmt.Sprintf("all %s were read in time", size(r.Bytes))
	default:
		text += fmt.Sprintf("%s of %s were read in time", size(r.Fresh), size(r.Bytes))
	}
	if r.Budget == 0 {
		return text
	}
	text += fmt.Sprintf(", at most %s a night of which %s are needed", size(r.Budget), size(r.Needs))
	switch {
	case !r.Met():
		text += ": it is never done"
	case !r.Ends.IsZero():
		text += "; all will be by " + dayOf(r.Ends, s.At)
	}
	return text
}
