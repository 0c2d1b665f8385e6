package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/checkpoints"
	"github.com/neosofia/runner/builtins/media"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/report"
	"github.com/spf13/cobra"
)

func mediaCommand(f *flags) *cobra.Command {
	c := &cobra.Command{Use: "media", Short: "media that travel: prepare, list, open, eject, hand over, take back", Args: cobra.NoArgs,
		Long: "A medium is a target with offline = True; media(set = …) in site.star says which of them travel in turn, how often, and " +
			"who keeps them. Every act is recorded: who, when, where. status shows where each of them is, and when it is due.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	var to, place string
	out := &cobra.Command{Use: "checkout NAME", Short: "hand a medium over: record who takes it, and where it will be", Args: oneArg("NAME"),
		Example: "  runner media checkout offline-a --to \"Anna Berg\" --place \"bank, box 12\"",
		RunE:    f.onMedium(func(s *session, c *cobra.Command, name string) error { return s.checkOut(c.Context(), name, to, place) })}
	out.Flags().StringVar(&to, "to", "", "who takes it; default: the keeper of its set")
	out.Flags().StringVar(&place, "place", "", "where it is kept")
	c.AddCommand(
		f.mediaPrepare(),
		f.mediaUnlock(),
		&cobra.Command{Use: "list", Short: "where each medium is, and when it is due; -v: what was done with each", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return f.withWorld(c.Context(), true, func(s *session) error { return s.listMedia(c.Context()) })
			}},
		&cobra.Command{Use: "open NAME", Short: "open the container of a medium that was plugged in, and mount it", Args: oneArg("NAME"),
			RunE: f.onMedium(func(s *session, c *cobra.Command, name string) error { return s.openMedium(c.Context(), name) })},
		&cobra.Command{Use: "eject NAME", Short: "flush, leave a checkpoint, unmount, close, switch off: then it may be unplugged",
			Args: oneArg("NAME"),
			RunE: f.onMedium(func(s *session, c *cobra.Command, name string) error { return s.eject(c.Context(), name) })},
		out,
		&cobra.Command{Use: "checkin NAME", Short: "take a medium back: record that it is here again", Args: oneArg("NAME"),
			RunE: f.onMedium(func(s *session, c *cobra.Command, name string) error { return s.checkIn(c.Context(), name) })})
	return c
}

// onMedium is a verb on one medium, which no run writes meanwhile.
func (f *flags) onMedium(fn func(*session, *cobra.Command, string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		return f.withWorld(c.Context(), true, func(s *session) (err error) {
			if _, err := media.Of(s.site, args[0]); err != nil {
				return usage("%v", err)
			}
			h := s.header(time.Now())
			release, err := runtime.Hold(s.state, runtime.Holder{Run: "media " + c.Name(), Host: h.Host, Boot: h.Boot, PID: h.PID},
				"target:"+args[0])
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, release()) }()
			return fn(s, c, args[0])
		})
	}
}

func (s *session) act(name, what string) ledger.Custody {
	return ledger.Custody{Target: name, Act: what, At: time.Now().UTC(), By: operator()}
}

// acted says an act in words or in JSON.
func (s *session) acted(act ledger.Custody, format string, args ...any) error {
	if s.flags.json {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"custody": act, "lab": s.flags.lab})
	}
	fmt.Printf("%s%s\n", labMark(s.flags.lab), plain(fmt.Sprintf(format, args...)))
	return nil
}

func (s *session) hint(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%snote: %s\n", labMark(s.flags.lab), plain(fmt.Sprintf(format, args...)))
}

func (s *session) openMedium(ctx context.Context, name string) error {
	notes, err := media.Open(ctx, s.world, name)
	for _, n := range notes {
		s.hint("%s: %s", name, n)
	}
	if err != nil {
		return err
	}
	if _, _, err := media.Attached(ctx, s.world, name); err != nil {
		return err
	}
	t, err := s.site.Target(name)
	if err != nil {
		return err
	}
	if !s.flags.json {
		fmt.Printf("%s%s is open at %s\n", labMark(s.flags.lab), name, t.Place.URL.Path)
	}
	return nil
}

func (s *session) eject(ctx context.Context, name string) error {
	device, there, err := media.Attached(ctx, s.world, name)
	if err != nil {
		return err
	}
	var left error
	if there { // one that cannot be written is let go all the same
		left = checkpoints.LeaveOn(ctx, s.world, s.ledger, hostName(), name)
	}
	unread, newest, err := media.Unread(ctx, ledger.Catalog{Store: s.ledger}, name)
	if err != nil {
		return err
	}
	done, err := media.Eject(ctx, s.world, name)
	if err != nil {
		return err
	}
	act := s.act(name, ledger.Ejected)
	act.Device = device
	if err := media.Record(ctx, s.ledger, act, "detached"); err != nil {
		return err
	}
	if done.Note != "" {
		s.hint("%s", done.Note)
	}
	if unread > 0 {
		s.hint("%d of its copies were never read back: they do not count; runner exec reread.star when it is here again", unread)
	}
	proven := "nothing on it is proven"
	if !newest.IsZero() {
		proven = "its newest copy is of " + newest.UTC().Format("2 Jan 15:04 UTC")
	}
	if err := s.acted(act, "you may unplug %s (serial %s); %s", name, device.Serial, proven); err != nil || left == nil {
		return err
	}
	return &exit{exitDegraded, fmt.Errorf("the ledger's checkpoint was not left on %s: %w", name, left)}
}

func (s *session) checkOut(ctx context.Context, name, to, place string) error {
	set, _ := s.site.Demands.Set(name)
	if to == "" {
		to = set.Keeper
	}
	if strings.TrimSpace(to) == "" {
		return usage("--to is missing: who takes %s\nhint: or keeper = … in media(set = …) of site.star", name)
	}
	if err := s.away(ctx, name); err != nil {
		return err
	}
	act := s.act(name, ledger.CheckedOut)
	act.To, act.Place = to, place
	if err := media.Record(ctx, s.ledger, act, "detached"); err != nil {
		return err
	}
	where := ""
	if place != "" {
		where = ", " + place
	}
	return s.acted(act, "%s is with %s%s", name, to, where)
}

func (s *session) checkIn(ctx context.Context, name string) error {
	if err := s.away(ctx, name); err != nil {
		return err
	}
	act := s.act(name, ledger.CheckedIn)
	if err := media.Record(ctx, s.ledger, act, ""); err != nil {
		return err
	}
	return s.acted(act, "%s is back; plug it in to bring it up to date", name)
}

// away refuses to move a medium that is in the machine.
func (s *session) away(ctx context.Context, name string) error {
	_, there, err := media.Attached(ctx, s.world, name)
	if err == nil && there {
		err = &exit{exitRefused, fmt.Errorf("%s is attached: nobody can carry it\nhint: runner media eject %s%s", name, name,
			prefixed(" ", s.flags.typed()))}
	}
	return err
}

func (s *session) listMedia(ctx context.Context) error {
	list, err := report.Media(ctx, ledger.Catalog{Store: s.ledger}, s.site.Demands, time.Now(), checkpoints.ObserveMedia(s.world))
	if err != nil {
		return err
	}
	list.Lab = s.flags.lab
	if s.flags.json {
		return list.JSON(os.Stdout)
	}
	return list.Text(os.Stdout, s.text())
}

func (f *flags) mediaPrepare() *cobra.Command {
	var name string
	c := &cobra.Command{Use: "prepare DEV", Args: oneArg("DEV"),
		Short: "ERASE a disk and make it a medium: LUKS2, ext4, its passphrase in the keyring",
		Long: "prepare shows the disk's model, serial and size and what is on it, and asks for the serial to be typed (or given as a line of " +
			"standard input): nothing else is consent. The passphrase is made here, goes into the keyring, and with the next run of " +
			"seal_secrets to every target. It prints the lines for site.star.",
		Example: "  runner media prepare /dev/sdb --name offline-c",
		RunE: func(c *cobra.Command, args []string) error {
			return f.withWorld(c.Context(), true, func(s *session) (err error) {
				if name == "" {
					name = media.FreeName(s.site)
				}
				h := s.header(time.Now())
				release, err := runtime.Hold(s.state, runtime.Holder{Run: "media prepare", Host: h.Host, Boot: h.Boot, PID: h.PID}, "target:"+name)
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, release()) }()
				return s.prepare(c.Context(), args[0], name)
			})
		}}
	c.Flags().StringVar(&name, "name", "", "of the target that it will be; default: the next free one, offline-a, offline-b, …")
	return c
}

func (s *session) prepare(ctx context.Context, path, name string) error {
	d, err := media.Look(ctx, s.world, path, name)
	if err != nil {
		return err
	}
	for _, n := range d.Notes {
		s.hint("%s: %s", d.Path, n)
	}
	holds := d.Holds
	if holds == "" {
		holds = "nothing that is known"
	}
	lab := labMark(s.flags.lab)
	model := cmp.Or(d.Model, "a disk that tells no model")
	fmt.Fprintf(os.Stderr, "%s%s: %s, serial %s, %.1f GB\n%son it: %s\n", lab, plain(d.Path), plain(model), plain(d.Serial),
		float64(d.Size)/1e9, lab, plain(holds))
	fmt.Fprintf(os.Stderr, "%sEVERYTHING ON IT WILL BE LOST. Type its serial to make it %s: ", lab, name)
	typed, err := bufio.NewReader(io.LimitReader(os.Stdin, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the serial: %w", err)
	}
	fmt.Fprintln(os.Stderr)
	if strings.TrimSpace(typed) != d.Serial {
		return &exit{exitRefused, fmt.Errorf("%q is not the serial of %s: nothing was changed", plain(strings.TrimSpace(typed)), d.Path)}
	}
	device, err := media.Prepare(ctx, s.world, d, name)
	if err != nil {
		return err
	}
	act := s.act(name, ledger.Prepared)
	act.Device = device
	if err := media.Record(ctx, s.ledger, act, ""); err != nil {
		return err
	}
	if s.flags.json {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"custody": act, "site": media.Lines(name, device), "lab": s.flags.lab})
	}
	fmt.Fprintf(os.Stderr, "%s%s is prepared; into site.star:\n\n", lab, name)
	fmt.Print(media.Lines(name, device))
	fmt.Fprintf(os.Stderr, "\n%sthen: runner media open %s%s\n", lab, name, prefixed(" ", s.flags.typed()))
	return nil
}

func (f *flags) mediaUnlock() *cobra.Command {
	var at string
	var files []string
	c := &cobra.Command{Use: "unlock DEV --at FOLDER", Args: oneArg("DEV"),
		Short: "open a medium with the recovery key, where no site and no keyring is left; it is mounted to be read",
		Example: "  runner media unlock /dev/sdb --at /mnt --identity sheet.txt\n  /mnt/runner-linux-amd64 recover --from /mnt --identity " +
			"sheet.txt --item erp --to /restore",
		RunE: func(c *cobra.Command, args []string) (err error) {
			if at == "" {
				return usage("--at is missing: the folder where it is mounted")
			}
			s, err := f.session()
			if err != nil {
				return err
			}
			defer s.done(&err)
			if s.site = (&site.Site{}); f.lab {
				err = s.openSite("")
			}
			if err == nil {
				err = s.openWorld(c.Context())
			}
			if err != nil {
				return err
			}
			ids, err := identities(c.Context(), files)
			if err != nil {
				return err
			}
			if err := media.Unlock(c.Context(), s.world, args[0], at, ids); err != nil {
				return err
			}
			fmt.Printf("%s%s is open at %s, to be read\n", labMark(f.lab), args[0], at)
			return nil
		}}
	c.Flags().StringVar(&at, "at", "", "folder where it is mounted")
	c.Flags().StringArrayVar(&files, "identity", nil, "file of the key: the sheet, its lines, an age key; default: ask, or standard input")
	return c
}
