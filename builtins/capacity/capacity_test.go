package capacity

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	day = 24 * time.Hour
	one = int64(1 << 30)
)

var now = time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)

// nights are stays of one copy a night, from so many nights ago to others; each
// is removed after so many nights, 0: never.
func nights(target string, from, to, kept int, bytes int64) (out []stay) {
	for n := from; n >= to; n-- {
		s := stay{target: target, bytes: bytes, came: now.Add(-time.Duration(n) * day)}
		if kept > 0 && n >= kept {
			s.went = s.came.Add(time.Duration(kept) * day)
			if now.Sub(s.went) > window {
				continue // the ledger's rows of it are not asked for
			}
		}
		out = append(out, s)
	}
	return out
}

func on(device string, list []stay) []stay {
	for i := range list {
		list[i].device = device
	}
	return list
}

func TestDaysUntilADeviceIsFull(t *testing.T) {
	usb := Fullness{Target: "usb", Free: 100 * one, Total: 1000 * one, Days: -1, device: "serial:1"}
	sealed := Fullness{Target: "sealed", Free: 100 * one, Total: 1000 * one, Days: -1, device: "serial:1"}
	nas := Fullness{Target: "nas", Free: 100 * one, Total: 1000 * one, Days: -1, device: "serial:2"}
	nodeA := Fullness{Target: "node", Node: "a", Free: 100 * one, Total: 1000 * one, Days: -1, device: "host:pve/a/backup"}
	nodeB := Fullness{Target: "node", Node: "b", Free: 100 * one, Total: 1000 * one, Days: -1, device: "host:pve/b/backup"}
	at := func(node string, list []stay) []stay {
		for i := range list {
			list[i].node = node
		}
		return list
	}
	for _, c := range []struct {
		name  string
		list  []Fullness
		stays []stay
		days  []float64 // of each: -1 none
		known bool
		text  string // of the first
	}{
		{name: "nothing came yet", list: []Fullness{usb}, days: []float64{-1},
			text: "usb: 100.0 of 1000.0 GiB free; how fast it fills is not known yet"},
		{name: "one night", list: []Fullness{usb}, stays: nights("usb", 0, 0, 0, one), days: []float64{-1}, text: "not known yet"},
		{name: "ten nights, of which nothing was pruned", list: []Fullness{usb}, stays: nights("usb", 10, 1, 0, one), days: []float64{100},
			known: true, text: "usb: 100.0 of 1000.0 GiB free, 1.0 GiB a day: 100 days until it is full"},
		{name: "100 nights, of which nothing was pruned", list: []Fullness{usb}, stays: nights("usb", 100, 1, 0, one), days: []float64{100},
			known: true},
		{name: "a steady site of 28 nights", list: []Fullness{usb}, stays: nights("usb", 200, 1, 28, one), days: []float64{-1}, known: true,
			text: "usb: 100.0 of 1000.0 GiB free; it does not grow"},
		{name: "a steady site of 7 nights", list: []Fullness{usb}, stays: nights("usb", 200, 1, 7, one), days: []float64{-1}, known: true},
		{name: "a steady site of 90 nights", list: []Fullness{usb}, stays: nights("usb", 300, 1, 90, one), days: []float64{-1}, known: true},
		{name: "a site that shrinks", list: []Fullness{usb}, stays: append(nights("usb", 200, 31, 28, 5*one), nights("usb", 30, 1, 28, one)...),
			days: []float64{-1}, known: true, text: "it does not grow"},
		{name: "copies that became twice as large", list: []Fullness{usb},
			stays: append(nights("usb", 200, 31, 28, one), nights("usb", 30, 1, 28, 2*one)...), days: []float64{115.4}, known: true},
		{name: "two targets on one device fill it together", list: []Fullness{sealed, usb, nas},
			stays: slices.Concat(nights("usb", 10, 1, 0, one), nights("sealed", 10, 1, 0, one), nights("nas", 10, 1, 0, one)),
			days:  []float64{50, 50, 100}, known: true, text: "sealed (one device with usb): 100.0 of 1000.0 GiB free, 2.0 GiB a day: 50 days"},
		{name: "copies on a disk that was replaced", list: []Fullness{usb}, stays: append(on("serial:9", nights("usb", 60, 11, 0, 9*one)),
			on("serial:1", nights("usb", 10, 1, 0, one))...), days: []float64{100}, known: true},
		{name: "a storage that each node has for itself", list: []Fullness{nodeA, nodeB},
			stays: append(at("a", nights("node", 10, 1, 0, one)), at("b", nights("node", 10, 1, 0, 2*one))...),
			days:  []float64{100, 50}, known: true, text: "node on a: 100.0"},
		{name: "a target that was not reached", list: []Fullness{{Target: "usb", Days: -1, Error: "it is away"}},
			stays: nights("usb", 10, 1, 0, one), days: []float64{-1}, text: "usb could not be asked: it is away"},
		{name: "a target that does not report its space", list: []Fullness{{Target: "usb", Days: -1, Free: -1, Total: -1}},
			stays: nights("usb", 10, 1, 0, one), days: []float64{-1}, text: "usb does not report its space"},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := slices.Clone(c.list)
			grow(list, c.stays, now)
			for i, f := range list {
				if math.Abs(f.Days-c.days[i]) > 0.1 || f.Known != c.known {
					t.Errorf("%s: got %.1f days, known %v; want %.1f, %v", f.Target, f.Days, f.Known, c.days[i], c.known)
				}
			}
			if text := list[0].Text(); !strings.Contains(text, c.text) {
				t.Errorf("got %q, want in it %q", text, c.text)
			}
		})
	}
}
