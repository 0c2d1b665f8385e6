package preflight

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/cloudflare"
	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/client/unifi"
	"github.com/neosofia/runner/builtins/internal/format/zone"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/words"
)

// Trial is what was to be tried of one system, whether that was done to the end, and what
// is wrong there.
type Trial struct {
	System string  `json:"system"`
	What   string  `json:"what"`
	Faults []Fault `json:"faults,omitempty"`
	Tried  bool    `json:"tried"`
}

// NewTrial is one that was done to the end unless one of its faults says that it was not.
func NewTrial(system, what string, faults ...Fault) Trial {
	return Trial{System: system, What: what, Faults: faults, Tried: !slices.ContainsFunc(faults, func(f Fault) bool { return f.Untried })}
}

// Refused reports whether something is wrong that has to be mended.
func (t Trial) Refused() bool {
	return slices.ContainsFunc(t.Faults, func(f Fault) bool { return !f.Note })
}

// Doctor tries everything that the site names, whatever policies are going to do: what
// Night tries for those, and beyond it each secret, each login, each clock, and the right
// to write to folders. It changes nothing.
func Doctor(ctx context.Context, w *systems.Systems, catalog ledger.Catalog, filesAsset string) []Trial {
	needs := needsOf(w.Site, filesAsset)
	d := &doctor{w: w, night: Night(ctx, w, catalog, needs)}
	d.secrets(ctx)
	d.machine()
	for _, p := range w.Site.Proxmox {
		d.take(p.Name, "proxmox "+p.Name, "token, rights for each guest, storage "+p.Storage+", the way to its archives")
	}
	for _, h := range w.Site.Hosts {
		d.host(ctx, h.Name)
	}
	for _, c := range w.Site.Cloudflare {
		d.zones(ctx, c)
	}
	for _, u := range w.Site.UniFi {
		d.console(ctx, u)
	}
	d.folders()
	for _, f := range d.night { // of whatever else
		d.out = append(d.out, NewTrial(f.System, "", f))
	}
	return d.out
}

// needsOf is what the bundled policies would do in a site.
func needsOf(s *site.Site, filesAsset string) Needs {
	has := func(asset string) bool {
		_, ok := s.Demands.Asset(asset)
		return ok
	}
	return Needs{Guests: len(s.Proxmox) > 0, Firewall: has(site.KindsOfSystems["firewall"]), Zones: has(site.KindsOfSystems["zone"]),
		Images: has(site.KindsOfSystems["host"]), Logs: has(site.KindsOfSystems["logs"]), Files: has(filesAsset), FilesAsset: filesAsset}
}

type doctor struct {
	w     *systems.Systems
	night []Fault // what Night found and no trial has taken
	out   []Trial
}

// take makes a trial of what Night found of a system, and of more.
func (d *doctor) take(nightName, system, what string, more ...Fault) {
	var own, rest []Fault
	for _, f := range d.night {
		if f.System == nightName {
			own = append(own, f)
		} else {
			rest = append(rest, f)
		}
	}
	d.night = rest
	for _, f := range more {
		if !slices.ContainsFunc(own, func(have Fault) bool { return have.Text == f.Text }) {
			own = append(own, f)
		}
	}
	d.out = append(d.out, NewTrial(system, what, own...))
}

// secrets reads every secret that the site names.
func (d *doctor) secrets(ctx context.Context) {
	var faults []Fault
	named := d.w.Site.Secrets()
	for _, s := range named {
		v, err := d.w.Secret(ctx, s)
		if err != nil {
			faults = append(faults, FaultOf("keyring", err))
			continue
		}
		clear(v)
	}
	if len(named) > 0 {
		d.take("keyring", "keyring", fmt.Sprintf("the %d secrets that the site names", len(named)), faults...)
	}
}

// ahead is by how much clocks may differ before dates are not believed.
const ahead = 2 * time.Second

// machine tries this machine's own clock.
func (d *doctor) machine() {
	if d.w.Env.Root != "" {
		return
	}
	what, faults := ownClock(clockState())
	d.take("this machine", "this machine", what, faults...)
}

// ownClock judges what the kernel says of the clock of this machine.
func ownClock(known, synchronized bool) (what string, faults []Fault) {
	switch {
	case !known:
		return "its clock", []Fault{{System: "this machine", Note: true, Untried: true,
			Text: "the system does not say whether its clock is synchronized: RPO, retention and pruning go by it", Hint: "timedatectl shows it"}}
	case !synchronized:
		return "", []Fault{{System: "this machine", Note: true,
			Text: "its clock is not synchronized: RPO, retention and pruning go by it", Hint: "timedatectl set-ntp true"}}
	}
	return "the clock", nil
}

// host logs in, and compares clocks.
func (d *doctor) host(ctx context.Context, name string) {
	system := "host " + name
	ctx, cancel := within(ctx)
	defer cancel()
	h, on, err := d.w.Host(ctx, name)
	if err != nil {
		d.take(system, system, "the login", FaultOf(system, err))
		return
	}
	defer h.Close()
	if on.Local {
		d.take(system, system, "the programs that are needed", d.logs(ctx, h)...)
		return
	}
	clock := clockOf(ctx, h, system)
	if NewTrial(system, "", clock...).Tried {
		d.take(system, system, "the login, the programs that are needed, its clock", append(d.logs(ctx, h), clock...)...)
		return
	}
	d.take(system, system, "the login, the programs that are needed", d.logs(ctx, h)...)
	d.out = append(d.out, NewTrial(system, "its clock", clock...))
}

// clockOf compares the clock of a host with that of this machine.
func clockOf(ctx context.Context, h host.Host, system string) []Fault {
	before := now()
	res, err := h.Run(ctx, host.Command{Args: []string{"date", "+%s"}})
	if err != nil {
		f := FaultOf(system, host.Explain(h.Name(), "ask for its time", err))
		f.Untried = true
		return []Fault{f}
	}
	return apart(system, strings.TrimSpace(string(res.Stdout)), before, now())
}

// apart judges what date of a host said between two times of this machine.
func apart(system, said string, before, after time.Time) []Fault {
	there, err := strconv.ParseInt(said, 10, 64)
	if err != nil { // what answers is not a clock
		return []Fault{{System: system, Note: true, Untried: true, Text: fmt.Sprintf("date +%%s answered %.40q, which is no time", said),
			Hint: "on the host: date +%s; compare it with this machine's"}}
	}
	at := time.Unix(there, 0)
	if off := max(before.Sub(at)-time.Second, at.Sub(after)); off > ahead {
		return []Fault{{System: system,
			Text: fmt.Sprintf("its clock is %s off that of this machine: copies would be taken for older or newer than they are",
				words.Span(rounded(off))),
			Hint: "on both machines: timedatectl set-ntp true; timedatectl shows it"}}
	}
	return nil
}

// logs looks for the folders of log files of a host.
func (d *doctor) logs(ctx context.Context, h host.Host) (out []Fault) {
	for _, l := range d.w.Site.Logs {
		if l.Host != h.Name() {
			continue
		}
		for _, dir := range l.Folders() {
			if _, err := h.Stat(ctx, dir); err != nil && dir != "/" {
				out = append(out, Fault{System: "host " + h.Name(), Text: fmt.Sprintf("logs %s: %s cannot be read: %v", l.Name, dir, err),
					Hint: "correct files = [...] of logs(name = " + strconv.Quote(l.Name) + ") in site.star"})
			}
		}
	}
	return out
}

// zones reads each zone as export_dns does.
func (d *doctor) zones(ctx context.Context, c *site.Cloudflare) {
	system := "cloudflare " + c.Name
	var faults []Fault
	ctx, cancel := within(ctx)
	defer cancel()
	client, _, err := d.w.Cloudflare(ctx, c.Name)
	if err != nil {
		faults = append(faults, FaultOf(system, err))
	} else {
		s := client.On(cloudflare.Clock{Now: now, Sleep: runtime.RealClock{}.Sleep, Log: func(string, ...any) {}})
		for _, z := range c.Zones {
			if _, err := s.Zone(ctx, z, c.Account); err != nil {
				faults = append(faults, FaultOf(system, cloudflare.Explain(c.Name, "read zone "+z, err)))
			}
		}
		faults = append(faults, unnamedZones(ctx, s, c)...)
	}
	d.take(system, system, "the token, and every record of "+strings.Join(c.Zones, ", "), faults...)
}

// unnamedZones says which zones the token sees and no site names: nobody saves them.
func unnamedZones(ctx context.Context, s *cloudflare.Session, c *site.Cloudflare) []Fault {
	system := "cloudflare " + c.Name
	seen, err := s.Zones(ctx, c.Account)
	if err != nil {
		return []Fault{FaultOf(system, cloudflare.Explain(c.Name, "list zones", err))}
	}
	seen = slices.DeleteFunc(seen, func(name string) bool {
		return slices.ContainsFunc(c.Zones, func(z string) bool { return zone.Name(z) == name })
	})
	if len(seen) == 0 {
		return nil
	}
	return []Fault{{System: system, Note: true, Text: "the token sees zones that the site does not name, so they are not saved: " +
		strings.Join(seen, ", "), Hint: "add them to zones = [...] of cloudflare(...) in site.star"}}
}

// console logs in to a UniFi console.
func (d *doctor) console(ctx context.Context, u *site.UniFi) {
	system := "unifi " + u.Name
	ctx, cancel := within(ctx)
	defer cancel()
	var faults []Fault
	c, err := d.w.UniFi(ctx, u.Name)
	if err == nil {
		_, err = c.Settings(ctx)
		err = unifi.Explain(u.Name, "read its settings", err)
	}
	if err != nil {
		faults = append(faults, FaultOf(system, err))
	}
	d.take(system, system, "the login, and its settings", faults...)
}

// folders looks for the right to write to targets that are folders here.
func (d *doctor) folders() {
	for _, t := range d.w.Site.Targets {
		if !t.Place.Local {
			continue
		}
		dir := d.w.Env.Root + t.Place.Folder()
		if writable(dir) {
			continue
		}
		d.night = append(d.night, Fault{System: "target " + t.Name, Text: "runner may not write to " + dir + ", or it is not there",
			Note: t.Offline, Hint: "run runner as root, or give its account the folder: chown ACCOUNT " + dir + "; mount the disk that belongs " +
				"there"})
	}
}

// rounded is a difference of clocks for people: the clock of a host tells seconds.
func rounded(d time.Duration) time.Duration {
	if d > time.Minute {
		return d.Round(time.Minute)
	}
	return d.Round(time.Second)
}
