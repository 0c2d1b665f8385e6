package ledger

import (
	"strings"
	"testing"
)

// Numbers from the disk are bounded before anything is made of them.
func TestAHeadThatCannotBeIsAnError(t *testing.T) {
	for name, statement := range map[string]string{
		"far too large": "UPDATE head SET size = 9223372036854775807", "negative": "UPDATE head SET size = -1",
		"too large for this ledger": "UPDATE head SET size = 1000000000", "a root of another length": "UPDATE head SET root = x'00'",
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := nights(t, func(x tamper) { x.exec(statement) })
			for how, check := range map[string]func() (Report, error){
				"verify": func() (Report, error) { return Verify(t.Context(), s, nil) },
				"glance": func() (Report, error) { return Glance(t.Context(), s) },
				"check":  func() (Report, error) { return Check(t.Context(), s, Part{Older: 3}) },
			} {
				rep, err := check()
				if f := rep.Finding(err, false); f == nil || !strings.Contains(f.Text, "the ledger") {
					t.Errorf("%s: got %v, %v", how, rep.Problems, err)
				}
			}
		})
	}
}
