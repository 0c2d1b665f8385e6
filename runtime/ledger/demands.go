package ledger

import (
	"slices"
	"strings"
	"time"
)

// Demands are what site.star asks for, recorded when they change, so that a
// report of an old run is judged by the demands of its time.
type Demands struct {
	Assets      []AssetDemand `json:"assets,omitempty"`
	Targets     []TargetFacts `json:"targets,omitempty"`
	Sets        []MediaSet    `json:"sets,omitempty"`
	Unprotected []Exception   `json:"unprotected,omitempty"`
	Accepted    []Exception   `json:"accepted,omitempty"`
	Deviations  []Deviation   `json:"deviations,omitempty"`
}

// AssetDemand is one row of the SOP's table. Zero durations mean "N/A".
type AssetDemand struct {
	Name      string        `json:"name"`
	Title     string        `json:"title"`
	RPO       time.Duration `json:"rpo,omitempty"`
	RTO       time.Duration `json:"rto,omitempty"`
	Every     time.Duration `json:"every,omitempty"`     // how often it is backed up; 0: as it was lately
	Retention time.Duration `json:"retention,omitempty"` // saved for at least so long
	Reread    time.Duration `json:"reread,omitempty"`    // every byte of every copy that is kept is read back at least so often
	Online    string        `json:"online,omitempty"`    // the SOP's words: "1 full + 27 incr."
	Keep      int           `json:"keep,omitempty"`      // full copies that Online means
	Copies    int           `json:"copies,omitempty"`
	Media     int           `json:"media,omitempty"`
	Offsite   int           `json:"offsite,omitempty"`
	Offline   int           `json:"offline,omitempty"`
	On        []CopyDemand  `json:"on,omitempty"`
	Items     []string      `json:"items,omitempty"` // fixed items; else an inventory names them
	In        []string      `json:"in,omitempty"`    // assets that it is a part of: a policy that protects one of them protects it
	Note      string        `json:"note,omitempty"`  // a conflict in the SOP, say
}

// CopyDemand asks for a copy on a target with a level of proof of at most an age.
type CopyDemand struct {
	Target string        `json:"target"`
	Level  int           `json:"level"`
	MaxAge time.Duration `json:"max_age,omitempty"` // 0: the asset's RPO, or the target's due time
	Set    string        `json:"set,omitempty"`     // the asset demands this set, and the target is one of its media
}

// TargetFacts are what the site states of a target.
type TargetFacts struct {
	Name     string        `json:"name"`
	URL      string        `json:"url"` // never with a secret in it
	Medium   string        `json:"medium"`
	Location string        `json:"location"`
	Offline  bool          `json:"offline,omitempty"`
	Offsite  bool          `json:"offsite,omitempty"`
	Probed   string        `json:"probed,omitempty"` // Immutable or AppendOnly: what the site says, and what a probe has to show
	Due      time.Duration `json:"due,omitempty"`    // an offline medium is fetched at least so often
	Grace    time.Duration `json:"grace,omitempty"`  // after due: degraded so long, then failed

	ReadBudget int64 `json:"read_budget,omitempty"` // bytes that proofs may read there in a night; 0: no limit
}

// Night begins the night that a moment belongs to: they change at noon, local time, so
// that runs of one night share what it may cost.
func Night(at time.Time) time.Time {
	at = at.Local()
	noon := time.Date(at.Year(), at.Month(), at.Day(), 12, 0, 0, 0, at.Location())
	if at.Before(noon) {
		noon = time.Date(at.Year(), at.Month(), at.Day()-1, 12, 0, 0, 0, at.Location())
	}
	return noon
}

// MediaSet is media that travel in turn: a copy on one of them keeps the promise. The
// times are those of its media, too: one is due Every after what it was written with last.
type MediaSet struct {
	Name   string        `json:"name"`
	Names  []string      `json:"names"` // targets
	Every  time.Duration `json:"every"`
	Grace  time.Duration `json:"grace,omitempty"` // after that: degraded so long, then failed
	Keeper string        `json:"keeper,omitempty"`
}

// Exception is a gap, or a guest without a backup, that the site accepts by name.
type Exception struct {
	Asset  string    `json:"asset,omitempty"`
	Item   string    `json:"item"`
	What   string    `json:"what,omitempty"` // Gap.What; empty: the whole item
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`
}

// Deviation says where the SOP is not followed to the letter.
type Deviation struct {
	SOP        string    `json:"sop"`
	Step       string    `json:"step"`
	Instead    string    `json:"instead"`
	ApprovedBy string    `json:"approved_by"`
	Review     time.Time `json:"review"`
}

// Asset returns the row of that name.
func (d Demands) Asset(name string) (AssetDemand, bool) {
	for _, a := range d.Assets {
		if a.Name == name {
			return a, true
		}
	}
	return AssetDemand{}, false
}

// Parts are the assets that who protects an asset protects: itself, where it is declared,
// and those that are parts of it.
func (d Demands) Parts(name string) (out []string) {
	for _, a := range d.Assets {
		if a.Name == name || slices.Contains(a.In, name) {
			out = append(out, a.Name)
		}
	}
	return out
}

// Set returns the set that a target belongs to.
func (d Demands) Set(target string) (MediaSet, bool) {
	for _, s := range d.Sets {
		if slices.Contains(s.Names, target) {
			return s, true
		}
	}
	return MediaSet{}, false
}

// Promises are the demands of an asset, each with its alternatives: the media of a set
// are one promise.
func (a AssetDemand) Promises() (out [][]CopyDemand) {
	at := map[string]int{}
	for _, on := range a.On {
		i, known := at[on.Set]
		if on.Set != "" && known {
			out[i] = append(out[i], on)
			continue
		}
		at[on.Set] = len(out)
		out = append(out, []CopyDemand{on})
	}
	return out
}

// Target returns what the site states of a target.
func (d Demands) Target(name string) (TargetFacts, bool) {
	for _, t := range d.Targets {
		if t.Name == name {
			return t, true
		}
	}
	return TargetFacts{}, false
}

// Excused returns the unexpired exception that covers an item as a whole.
func (d Demands) Excused(item string, at time.Time) (Exception, bool) {
	for _, x := range d.Unprotected {
		if x.Item == item && at.Before(x.Until) {
			return x, true
		}
	}
	return Exception{}, false
}

// Accepts returns the unexpired exception that covers a gap. One that names no gap covers
// whatever an artifact lacks; that a copy lies with its source is accepted by its own words
// alone.
func (d Demands) Accepts(g Gap, at time.Time) (Exception, bool) {
	for _, x := range d.Accepted {
		if x.Item == g.Item && (x.What == g.What || x.What == "" && !strings.HasPrefix(g.What, ownDisk)) && at.Before(x.Until) {
			return x, true
		}
	}
	return Exception{}, false
}

// MaxAge returns how old the newest proof that meets c may be.
func (d Demands) MaxAge(a AssetDemand, c CopyDemand) time.Duration {
	if c.MaxAge > 0 {
		return c.MaxAge
	}
	if t, ok := d.Target(c.Target); ok && t.Due > 0 {
		return t.Due
	}
	return a.RPO
}

// Judged is the run whose completeness is asked for.
type Judged struct {
	Run      string
	Protects []string  // assets that it must leave complete
	Since    time.Time // when it, or the first of those that it retries, began
	Now      time.Time
}
