package report

import (
	"slices"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

const (
	latest = 29 // artifacts whose times say how often an item is backed up
	often  = 12 // so many of them are needed before it is believed to be more often than daily
	slack  = 4  // a quarter of the period is not a delay: nights are not equally long
)

// noteTime remembers when the latest artifacts were made.
func (it *item) noteTime(at time.Time) {
	if it.made = append(it.made, at); len(it.made) > 2*latest {
		it.made = append(it.made[:0], it.made[len(it.made)-latest:]...)
	}
}

// every is how often an item is backed up: as the site says, or the median of what was
// seen lately. A few runs by hand on one day are not schedule: without many the least
// that is believed is a day.
func (it *item) every(a ledger.AssetDemand) time.Duration {
	if a.Every > 0 {
		return a.Every
	}
	made := slices.Clone(it.made[max(0, len(it.made)-latest):])
	slices.SortFunc(made, time.Time.Compare)
	var between []time.Duration
	for i := 1; i < len(made); i++ {
		between = append(between, made[i].Sub(made[i-1]))
	}
	if len(between) == 0 {
		return day
	}
	slices.Sort(between)
	median := between[len(between)/2]
	if len(between) < often {
		return max(median, day)
	}
	return max(median, time.Hour)
}
