package report

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// An RPO that is N/A is no licence for silence.
func TestWhatIsNotBackedUpAsUsualIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		between time.Duration // of backups
		count   int
		every   time.Duration // as the site says
		since   time.Duration // the last one
		word    string
		degrade bool
	}{
		"a night, as usual":                   {day, 5, 0, 26 * time.Hour, "", false},
		"one night is missed":                 {day, 5, 0, 31 * time.Hour, "usually every 1 d", false},
		"two nights are missed":               {day, 5, 0, 55 * time.Hour, "usually every 1 d", true},
		"hourly, and two hours are missed":    {time.Hour, 40, 0, 140 * time.Minute, "usually every 1 h", true},
		"a few runs by hand are not schedule": {5 * time.Minute, 4, 0, 23 * time.Hour, "", false},
		"one run, and nothing after it":       {day, 1, 0, 3 * day, "usually every 1 d", true},
		"weekly, by what was seen":            {7 * day, 4, 0, 6 * day, "", false},
		"weekly, by the site":                 {day, 2, 7 * day, 6 * day, "", false},
		"weekly, by the site, and long since": {day, 9, 7 * day, 16 * day, "usually every 7 d", true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook(t)
			d := demands()
			d.Assets[0].RPO, d.Assets[0].Every, d.Assets[0].Items = 0, c.every, []string{"erp"}
			d.Assets[0].Copies, d.Assets[0].Media, d.Assets[0].Offsite, d.Assets[0].Offline, d.Assets[0].On = 0, 0, 0, 0, nil
			for i := range c.count {
				b.night(fmt.Sprintf("r%d", i), now.Add(-c.since-time.Duration(c.count-1-i)*c.between), "erp")
			}
			st := status(t, b, d, now, Live{})
			var shown strings.Builder
			if err := st.Text(&shown, TextOptions{More: true, Width: 200}); err != nil {
				t.Fatal(err)
			}
			if (c.word != "") != strings.Contains(shown.String(), "usually every") || !strings.Contains(shown.String(), c.word) {
				t.Errorf("want the word %q:\n%s", c.word, &shown)
			}
			if got := strings.Contains(shown.String(), "(RPO N/A)"); got != c.degrade || got && st.Result == "ok" {
				t.Errorf("degraded: got %v (%s), want %v\n%s", got, st.Result, c.degrade, &shown)
			}
		})
	}
}
