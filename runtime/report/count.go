package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// Sum is the 3-2-1-1-0 of an item: copies on devices of their own, kinds of
// media, places, offline media, and demands of proof that are not met.
type Sum struct {
	Copies   int `json:"copies"`
	Media    int `json:"media"`
	Offsite  int `json:"offsite"`
	Offline  int `json:"offline"`
	Unproven int `json:"unproven"`
}

// Of says the sum beside what is demanded.
func (s Sum) Of(want Sum) string {
	part := func(have, of int, word string) string {
		if of == 0 {
			return fmt.Sprintf("%d %s", have, word)
		}
		return fmt.Sprintf("%d/%d %s", have, of, word)
	}
	return strings.Join([]string{part(s.Copies, want.Copies, "copies"), part(s.Media, want.Media, "media"),
		part(s.Offsite, want.Offsite, "offsite"),
		part(s.Offline, want.Offline, "offline"), fmt.Sprintf("%d unproven", s.Unproven)}, ", ")
}

// counted is a sum with its reasons.
type counted struct {
	sum      Sum
	unmet    []unkept
	shared   map[string][]string // device -> targets that lie on it, where several do
	attached []string            // targets whose copy counts, but not as offline
	onSource int                 // copies that do not count, for they lie where their source lies
	waits    int                 // promises that a set of media keeps with its next visit: the item is newer than the last
}

// deviceOf names what a copy fails together with. A remote target is known by
// its account and location; devices that nobody could look up count as one.
func deviceOf(c ledger.Copy) string {
	switch {
	case c.Account != "":
		return c.Account + " at " + c.Location
	case c.Device.ID != "":
		return c.Device.ID
	}
	return "unknown"
}

// count adds up the newest copy of each target that is young enough and proven
// as demanded; where a target is not demanded, it must be read back.
func (b *builder) count(a ledger.AssetDemand, it *item) counted {
	out := counted{shared: map[string][]string{}}
	level, maxAge := map[string]int{}, map[string]time.Duration{}
	for _, on := range a.On {
		level[on.Target], maxAge[on.Target] = on.Level, b.j.d.MaxAge(a, on)
	}
	for _, one := range a.Promises() {
		if u := b.j.promise(a, one, it); u != nil {
			out.unmet = append(out.unmet, *u)
		} else if one[0].Set != "" && !slices.ContainsFunc(one, func(d ledger.CopyDemand) bool { return len(it.on(d.Target)) > 0 }) {
			out.waits++
		}
	}
	out.sum.Unproven = len(out.unmet)
	media, places, offline := map[string]bool{}, map[string]bool{}, map[string]bool{}
	done := map[string]bool{}
	for _, c := range it.copies {
		want, demanded := level[c.Target]
		limit := maxAge[c.Target]
		if !demanded {
			want, limit = ledger.Read, a.RPO
		}
		old := b.j.now.Sub(c.Taken)
		if done[c.Target] || c.Level < want || old < -ahead || limit > 0 && old > limit {
			continue
		}
		done[c.Target] = true
		if !b.j.counts(c.Copy) {
			out.onSource++
			continue
		}
		device := deviceOf(c.Copy)
		out.shared[device] = append(out.shared[device], c.Target)
		media[c.Medium] = true
		if c.Offsite {
			places[c.Account+"\x00"+c.Location] = true
		}
		if c.Offline {
			if b.detached(c) {
				offline[device] = true
			} else {
				out.attached = append(out.attached, c.Target)
			}
		}
	}
	out.sum.Copies, out.sum.Media, out.sum.Offsite, out.sum.Offline = len(out.shared), len(media), len(places), len(offline)
	return out
}

// detached reports that the medium of a copy was seen to be away after the copy
// on it was read back, and that it is the same medium.
func (b *builder) detached(c ledger.Proven) bool {
	m, ok := b.j.media.last[c.Target]
	same := m.Device.ID == "" || c.Device.ID == "" || m.Device.ID == c.Device.ID
	return ok && same && m.State == "detached" && c.Level >= ledger.Read && !m.At.Before(c.At)
}

// rates are the measured bytes a second that proofs read from each target.
func rates(known map[string]*item) map[string]int64 {
	bytes, nanos, out := map[string]float64{}, map[string]float64{}, map[string]int64{}
	for _, it := range known {
		for _, c := range it.copies {
			if c.Read > 0 && c.Nanos > 0 {
				bytes[c.Target] += float64(c.Read)
				nanos[c.Target] += float64(c.Nanos)
			}
		}
	}
	for target, n := range nanos {
		out[target] = int64(bytes[target] / n * 1e9)
	}
	return out
}

// restore estimates how long the newest state takes to read back, in seconds,
// from the fastest of the copies that hold it, and at which rate; 0: unknown.
func (b *builder) restore(it *item, rates map[string]int64) (seconds, rate int64) {
	newest := ""
	for _, c := range it.copies {
		if c.Level < ledger.Read || c.Taken.After(b.j.now.Add(ahead)) || newest != "" && c.Artifact != newest {
			continue
		}
		newest = c.Artifact
		r := rates[c.Target]
		if c.Read > 0 && c.Nanos > 0 {
			r = int64(float64(c.Read) / float64(c.Nanos) * 1e9)
		}
		if r <= 0 {
			continue
		}
		if s := (max(c.Bytes, c.Whole) + r - 1) / r; seconds == 0 || s < seconds {
			seconds, rate = max(1, s), r
		}
	}
	return seconds, rate
}
