package prune

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// ran says of runs that began so long before now.
func ran(ago ...time.Duration) (out []Seen) {
	for _, d := range ago {
		out = append(out, Seen{At: now.Add(-d), Begins: true})
	}
	return out
}

// each says of runs from one time before now to another, at a distance.
func each(from, to, every time.Duration) (out []Seen) {
	for d := from; d >= to; d -= every {
		out = append(out, ran(d)...)
	}
	return out
}

func TestAClockThatJumpedIsBelievedAfterThreeDays(t *testing.T) {
	const hour = time.Hour
	nights := each(200*day, 100*day, day)
	after := func(list []Seen) []Seen { return slices.Concat(nights, list) }
	for _, c := range []struct {
		name string
		seen []Seen
		leap time.Duration
		want string // of the refusal; "" is believed
	}{
		{name: "a new ledger"},
		{name: "the first run", seen: []Seen{{At: now}}},
		{name: "nights", seen: each(30*day, day, day)},
		{name: "a night that was left out", seen: slices.Concat(each(30*day, 3*day, day), ran(day, 0))},
		{name: "hours", seen: each(30*day, hour, hour)},
		{name: "sixty days forward just now", seen: each(100*day, 60*day, day), want: "60 days later: the clock went forward, or nothing ran " +
			"for long; it is believed from 2026-03-04T03:00:00Z on"},
		{name: "three days forward, after hourly runs", seen: each(30*day, 3*day+hour, hour), want: "3 days later: the clock went forward"},
		{name: "three days forward, and hourly runs for two days", seen: slices.Concat(each(30*day, 5*day, hour), each(2*day, hour, hour)),
			want: "the clock went forward"},
		{name: "three days forward, and hourly runs for three days", seen: slices.Concat(each(30*day, 6*day, hour), each(3*day, hour, hour))},
		{name: "sixty days forward, and hourly runs for almost three days", seen: after(each(3*day-time.Minute, time.Minute, hour)),
			want: "the clock went forward"},
		{name: "three short runs within a minute", seen: after(ran(time.Minute, 40*time.Second, 20*time.Second)), want: "the clock went forward"},
		{name: "ten days off, the third night", seen: after(ran(2*day, day)), want: "the clock went forward"},
		{name: "ten days off, after three nights", seen: after(ran(3*day, 2*day, day))},
		{name: "three days on with two runs only", seen: after(ran(3*day, 36*hour)), want: "after 3 runs by it"},
		{name: "a second jump begins anew", seen: after(ran(9*day, 8*day, 7*day, 6*day, day)), want: "5 days later"},
		{name: "entries of this run count for no run", seen: slices.Concat(nights, []Seen{{At: now.Add(-3 * day)}}, ran(2*day),
			[]Seen{{At: now.Add(-day)}}), want: "the clock went forward"},
		{name: "ten days back just now", seen: each(20*day, -10*day, day), want: "the clock went back, or it was wrong then"},
		{name: "ten days back, two days ago", seen: slices.Concat(each(20*day, -10*day, day), ran(2*day, day)),
			want: "next at 2026-02-27T03:00:00Z: the clock went back"},
		{name: "ten years ahead for an hour, three days ago", seen: slices.Concat(nights, ran(-3650*day), ran(3*day, 2*day, day))},
		{name: "an entry that comes hours late", seen: slices.Concat(each(30*day, 2*day, day), ran(day, 30*hour))},
		{name: "a site that runs once a week", seen: each(70*day, 7*day, 7*day), leap: 14 * day},
		{name: "a site that runs once a week, three weeks later", seen: each(70*day, 21*day, 7*day), leap: 14 * day, want: "21 days later"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := Input{Copies: copies("a", "usb", "rrr"), Now: now, Seen: c.seen, Leap: c.leap, Due: func(string) time.Duration { return 0 }}
			got := Choose(in)
			if (got.Refused == "") != (c.want == "") || !strings.Contains(got.Refused, c.want) {
				t.Errorf("got %q, want %q", got.Refused, c.want)
			}
			if (len(got.Removals) == 0) != (c.want != "") {
				t.Errorf("got %d removals", len(got.Removals))
			}
		})
	}
}

func TestTheLeapIsThatOfTheAssetThatIsSavedMostOften(t *testing.T) {
	for _, c := range []struct {
		name string
		rpos []time.Duration
		want time.Duration
	}{
		{"no asset", nil, 2 * day},
		{"none that says how often", []time.Duration{0, 0}, 2 * day},
		{"every hour", []time.Duration{0, time.Hour, 7 * day}, 2 * day},
		{"every night", []time.Duration{7 * day, day}, 2 * day},
		{"every week", []time.Duration{30 * day, 7 * day}, 14 * day},
	} {
		var d ledger.Demands
		for _, r := range c.rpos {
			d.Assets = append(d.Assets, ledger.AssetDemand{RPO: r})
		}
		if got := Leap(d); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSoManyTimesAreEnough(t *testing.T) {
	for _, c := range []struct {
		name string
		seen []Seen
		want bool
	}{
		{"runs of less than three days", each(3*day-time.Second, 0, time.Hour), false},
		{"three runs", ran(30*day, 2*day, 0), false},
		{"four, over three days", ran(3*day, 2*day, day, 0), true},
		{"entries of one long run", []Seen{{At: now.Add(-9 * day), Begins: true}, {At: now.Add(-8 * day)}, {At: now}}, false},
	} {
		if got := Enough(c.seen, now); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
