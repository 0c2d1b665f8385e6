package main

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/capacity"
	"github.com/neosofia/runner/builtins/preflight"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/runtime/ledger"

	"github.com/neosofia/runner/builtins"
	"github.com/spf13/cobra"
)

func doctorCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "try everything that the site names, and say each repair", Args: cobra.NoArgs,
		Long: "doctor tries the site itself, whatever policies do with it: every secret, every login, each right of a Proxmox VE token guest " +
			"by guest, " +
			"storages and the way to their archives, programs and clocks of hosts, zones of DNS, every target with its space, disks that would " +
			"hold a copy beside its source, " +
			"and whether a rescue image of a host would erase what is proven nowhere else. It reads only, but for targets " +
			"that are declared immutable or append_only: there it adds two small files and tries to change them. Each fault comes with what to do.\n\n" +
			"check looks at policies, and tries what these need; doctor needs no policy, and tries more. Both end with 4 where something is " +
			"wrong. " +
			"What doctor could not reach is \"not tried\", and ends it with 3 where nothing else is wrong.",
		RunE: func(c *cobra.Command, _ []string) error { return f.doctor(c.Context()) },
	}
}

func (f *flags) doctor(ctx context.Context) (err error) {
	s, err := f.session()
	if err != nil {
		return err
	}
	defer s.done(&err)
	if err := s.openSite(""); err != nil {
		return err
	}
	catalog, err := s.known(ctx)
	if err != nil {
		return err
	}
	trials := preflight.Doctor(ctx, s.world, catalog, builtins.FilesAsset)
	trials = append(trials, s.images(ctx, catalog)...)
	tried, made := preflight.Probe(ctx, s.world, catalog, time.Now())
	if trials = append(trials, tried...); s.ledger != nil {
		if err := preflight.Record(ctx, s.ledger, made); err != nil {
			return err
		}
	}
	if _, saved := s.site.Demands.Asset(site.KindsOfSystems["keyring"]); saved {
		trials = append(trials, trialOf("seal_secrets", "who can open the secrets", builtins.ForeseeSecrets(s.site)))
	}
	missed := func(t capacity.Fullness) bool { // a medium that is taken away is where it belongs
		spec, err := s.site.Target(t.Target)
		return t.Error != "" && !t.Refused() && (err != nil || !spec.Offline)
	}
	targets := capacity.DaysUntilFull(ctx, s.world, s.ledger, time.Now())
	expired := s.site.Expired(time.Now())
	if f.json {
		err = json.NewEncoder(os.Stdout).Encode(map[string]any{"trials": trials, "targets": targets, "expired": expired, "lab": f.lab})
	} else {
		out := &checkSheet{lab: labMark(f.lab)}
		out.trials(trials)
		out.asked(expired, asked{targets: targets, missed: missed})
		out.print()
	}
	switch {
	case err != nil:
		return err
	case slices.ContainsFunc(targets, capacity.Fullness.Refused) || slices.ContainsFunc(trials, preflight.Trial.Refused):
		return &exit{exitRefused, nil}
	case slices.ContainsFunc(targets, missed) || slices.ContainsFunc(trials, func(t preflight.Trial) bool { return !t.Tried }):
		return &exit{exitDegraded, nil}
	}
	return nil
}

// images tries what a rescue image of each host would erase, where images are wanted.
func (s *session) images(ctx context.Context, catalog ledger.Catalog) (out []preflight.Trial) {
	if _, saved := s.site.Demands.Asset(site.KindsOfSystems["host"]); !saved {
		return nil
	}
	for _, i := range builtins.ForeseeImages(ctx, s.world, catalog) {
		system := "rear_host " + i.Host
		var faults []preflight.Fault
		if i.Error != "" {
			faults = append(faults, preflight.Fault{System: system, Text: i.Error, Hint: i.Hint, Note: !i.Refused, Untried: !i.Refused})
		}
		out = append(out, preflight.NewTrial(system, "what a recovery of it would erase", faults...))
	}
	return out
}

func trialOf(system, what string, err error) preflight.Trial {
	if err != nil {
		return preflight.NewTrial(system, what, preflight.FaultOf(system, err))
	}
	return preflight.NewTrial(system, what)
}

// notTried is the word for what nobody could look at: that is no fault, and no ok.
const notTried = "not tried "

func (s *checkSheet) trials(trials []preflight.Trial) {
	for _, t := range trials {
		switch {
		case t.What == "":
		case !t.Tried:
			s.add(false, notTried, t.System+": "+plain(t.What), "")
		case !t.Refused():
			s.add(false, "ok    ", t.System+": "+plain(t.What), "")
		}
		for _, n := range t.Faults {
			n.System = t.System
			if t.What == "" && n.Note && n.Untried {
				s.add(false, notTried, n.System+": "+strings.TrimPrefix(n.Text, n.System+": "), n.Hint)
				continue
			}
			s.fault(n)
		}
	}
}
