package preflight

import (
	"strings"
	"testing"
	"time"
)

func TestAClockThatWasNotSeenIsNotTried(t *testing.T) {
	before := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		name   string
		faults []Fault
		tried  bool
		said   string // of the only fault; "": none
	}{
		{"a host in time", apart("host h", "1800000000", before, before), true, ""},
		{"a host an hour ahead", apart("host h", "1800003600", before, before), true, "1 h off"},
		{"a host that answers with a date of its own", apart("host h", "Sat Nov 28", before, before), false, "no time"},
		{"a host that answers nothing", apart("host h", "", before, before), false, "no time"},
		{"this machine in time", second(ownClock(true, true)), true, ""},
		{"this machine without a time server", second(ownClock(true, false)), true, "not synchronized"},
		{"a system that does not say", second(ownClock(false, false)), false, "does not say"},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := ""
			for _, f := range c.faults {
				said += f.Text
			}
			tried := NewTrial("host h", "its clock", c.faults...).Tried
			if tried != c.tried || !strings.Contains(said, c.said) || (said == "") != (c.said == "") {
				t.Errorf("got tried %v, %q; want %v, %q", tried, said, c.tried, c.said)
			}
		})
	}
}

func second(_ string, faults []Fault) []Fault { return faults }
