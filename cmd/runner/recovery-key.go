package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/recoverykey"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/spf13/cobra"
)

func recoveryKeyCommand(f *flags) *cobra.Command {
	c := &cobra.Command{Use: "recovery-key", Short: "make, try and replace the key that opens sealed copies", Args: cobra.NoArgs,
		Long: `Sealed copies are worth what is known of their key. new makes one, on another machine than the one that
is backed up: print the sheet, put it into a safe, and its recipient line into site.star. test opens a copy
on a target with the key as somebody typed it, and records that it did. replace says which copies only an
old key opens.`,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(recoveryKeyNew(f), recoveryKeyTest(f), recoveryKeyReplace(f))
	return c
}

func recoveryKeyNew(f *flags) *cobra.Command {
	var classic bool
	var out string
	c := &cobra.Command{Use: "new", Short: "make a recovery key and print its sheet; meant for another machine", Args: cobra.NoArgs,
		Long: "new prints a sheet of paper: the identity with a checksum in each line and as a QR code, and the recipient line for site.star. " +
			"Nothing is written to disk, unless --out names a file. Print it on a printer that keeps no copy, twice, and close the terminal.",
		RunE: func(*cobra.Command, []string) error {
			var id age.Identity
			var err error
			if classic {
				id, err = age.GenerateX25519Identity()
			} else {
				id, err = age.GenerateHybridIdentity()
			}
			if err != nil {
				return fmt.Errorf("make a recovery key: %w", err)
			}
			if _, err := os.Stat("/etc/runner/site.star"); err == nil {
				fmt.Fprintln(os.Stderr, "runner: this machine has a site.star: a recovery key belongs on another one, or who breaks in here has it")
			}
			text, err := builtins.RecoverySheet(fmt.Sprint(id), builtins.Recipient(id), builtins.Fingerprint(builtins.Recipient(id)), time.Now())
			if err != nil {
				return err
			}
			if out == "" {
				_, err = io.WriteString(os.Stdout, text)
				return err
			}
			return writeNew(out, text)
		}}
	c.Flags().BoolVar(&classic, "classic", false, "X25519 alone, which age before 1.3 opens, too; default: hybrid, post-quantum")
	c.Flags().StringVar(&out, "out", "", "file to write the sheet to, mode 0600; it is not overwritten")
	return c
}

// writeNew writes a file of mode 0600 that is not there yet.
func writeNew(path, text string) error {
	w, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return usage("write a new file: %v", err)
	}
	_, err = io.WriteString(w, text)
	if err == nil {
		err = w.Sync()
	}
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return err
}

func recoveryKeyTest(f *flags) *cobra.Command {
	var only string
	var files []string
	c := &cobra.Command{Use: "test", Short: "type the recovery key, and see it open a copy on each sealed target", Args: cobra.NoArgs,
		Long: "test reads the key as somebody types it from the sheet, without echo; or from --identity FILE or standard input, in every " +
			"form that recover takes. It opens the newest copy on each target: a canary, or the header of a sealed file. Secrets that are sealed " +
			"to others are not a proof: it says so, and opens the newest other copy. That it did is recorded with its date; runner status asks " +
			"for " +
			"it every 180 days.",
		Example: "  runner recovery-key test --target offsite",
		RunE: func(c *cobra.Command, _ []string) error {
			return f.withWorld(c.Context(), false, func(s *session) error { return s.tryKeys(c.Context(), only, files) })
		}}
	c.Flags().StringVar(&only, "target", "", "this target alone; default: all that are sealed")
	c.Flags().StringArrayVar(&files, "identity", nil, "file of the key: the sheet, its lines, an age key; default: ask, or standard input")
	offer(c, "target", f.targets)
	return c
}

func (s *session) sealedTargets(only string) (out []string, err error) {
	if only != "" {
		_, err := s.site.Target(only)
		return []string{only}, err
	}
	for _, t := range s.site.Targets {
		if len(t.SealedTo) > 0 {
			out = append(out, t.Name)
		}
	}
	if len(out) == 0 {
		return nil, usage("no target of the site has sealed_to: there is no key to try\nhint: --target NAME tries it on the secrets of one")
	}
	return out, nil
}

// identities are those of files, of standard input, or of somebody at the terminal.
func identities(ctx context.Context, files []string) ([]age.Identity, error) {
	if len(files) == 0 && !interactive() {
		files = []string{"-"}
	}
	keys, ask, err := readKeys(files)
	if err == nil && ask {
		var typed builtins.Keys
		typed, err = askKeys(ctx)
		keys.Add(typed)
	}
	switch {
	case err != nil:
		return nil, err
	case len(keys.Shares) > 0:
		return nil, usage("shares of custodians open the secrets alone, and are tried by bringing those back: runner recover --from PATH " +
			"--item keyring --verify --share FILE ...")
	case len(keys.Identities) == 0:
		return nil, usage("no key was typed")
	}
	return keys.Identities, nil
}

// tryKey records every target on which the key opened something, and counts those on
// which it did not.
func (s *session) tryKey(ctx context.Context, id age.Identity, targets []string) (failed int, err error) {
	lab, later := labMark(s.flags.lab), 0
	var proofs []ledger.KeyProof
	for _, name := range targets {
		p, note, err := recoverykey.Try(ctx, s.world, ledger.Catalog{Store: s.ledger}, name, id)
		if ctx.Err() != nil {
			return failed, context.Cause(ctx)
		}
		if why := s.later(name, err); why != "" && len(targets) > 1 {
			if later++; !s.flags.json {
				fmt.Printf("%snote %s\n", lab, why)
			}
			continue
		}
		if err != nil {
			failed++
			if note != "" && !s.flags.json {
				fmt.Printf("%snote %s: %s\n", lab, name, note)
			}
			fmt.Printf("%sFAIL %s\n", lab, strings.ReplaceAll(plain(message(err)), "\n", "\n     "))
			continue
		}
		p.At, p.By = time.Now().UTC(), operator()
		e, err := ledger.NewEntry(ledger.Imported, p.At, "", "", ledger.Import{Target: name, Facts: ledger.Facts{Keys: []ledger.KeyProof{p}}})
		if err == nil {
			_, err = s.ledger.Record(ctx, e)
		}
		if err != nil {
			return failed, fmt.Errorf("record that the key opened a copy on %s: %w", name, err)
		}
		proofs = append(proofs, p)
		if !s.flags.json {
			fmt.Printf("%sok   %s: key %s opened the %s of copy %s; recorded\n", lab, name, p.Recipient, p.What, p.Copy)
			if note != "" {
				fmt.Printf("%s     %s\n", lab, note)
			}
		}
	}
	if later == len(targets) {
		failed = later // it was tried nowhere
	}
	if s.flags.json {
		if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"keys": proofs, "failed": failed, "lab": s.flags.lab}); err != nil {
			return failed, err
		}
	}
	return failed, nil
}

// tryKeys tries each key that is given on the sealed targets.
func (s *session) tryKeys(ctx context.Context, only string, files []string) error {
	targets, err := s.sealedTargets(only)
	if err != nil {
		return err
	}
	ids, err := identities(ctx, files)
	if err != nil {
		return err
	}
	failed := 0
	for _, id := range ids {
		n, err := s.tryKey(ctx, id, targets)
		if err != nil {
			return err
		}
		failed += n
	}
	if failed > 0 {
		return &exit{exitFailed, nil}
	}
	return nil
}

// later says why a key cannot be tried on a medium now: it travels, and its turn comes.
// What was asked for by name is tried all the same.
func (s *session) later(name string, err error) string {
	t, terr := s.site.Target(name)
	var own *failure.Error
	switch {
	case terr != nil || !t.Offline:
		return ""
	case errors.Is(err, recoverykey.ErrNothing):
		return name + " has no sealed copy yet: try the key when it was written"
	case errors.As(err, &own) && own.Code.Name == "E_MEDIA_ABSENT":
		return fmt.Sprintf("%s is away: when it is here, runner recovery-key test --target %s", name, name)
	}
	return ""
}

func recoveryKeyReplace(f *flags) *cobra.Command {
	var old string
	c := &cobra.Command{Use: "replace --old RECIPIENT", Short: "which copies only an old key opens, and what to do", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if old == "" {
				return usage("--old is missing: the recipient that is replaced (age1…), or its fingerprint (age:…)")
			}
			s, err := f.session()
			if err != nil {
				return err
			}
			defer s.done(&err)
			if err := s.openSite(""); err != nil {
				return err
			}
			if err := s.openLedger(c.Context(), false); err != nil {
				return err
			}
			return s.printBound(c.Context(), old)
		}}
	c.Flags().StringVar(&old, "old", "", "the recipient that is replaced (age1…), or its fingerprint (age:…)")
	return c
}

func (s *session) printBound(ctx context.Context, old string) error {
	switch {
	case strings.HasPrefix(old, "AGE-SECRET-KEY"):
		return usage("that is the secret key, and the shell's history has it now: give the recipient (age1…)")
	case strings.HasPrefix(old, "age1"):
		old = builtins.Fingerprint(old)
	case !strings.HasPrefix(old, "age:"):
		return usage("--old %.20q: want a recipient (age1…), or its fingerprint (age:…)", old)
	}
	lab := labMark(s.flags.lab)
	var inUse, still []string
	for _, t := range s.site.Targets {
		for _, r := range t.SealedTo {
			print := builtins.Fingerprint(r)
			inUse = append(inUse, print)
			if print == old {
				still = append(still, t.Name)
			}
		}
	}
	var custodian string
	for _, c := range s.site.Custodians {
		print := builtins.Fingerprint(c.Recipient)
		inUse = append(inUse, print)
		if print == old {
			custodian = c.Name
		}
	}
	inUse = slices.DeleteFunc(inUse, func(r string) bool { return r == old })
	bound, sets, err := recoverykey.BoundTo(ctx, ledger.Catalog{Store: s.ledger}, old, inUse)
	if err != nil {
		return err
	}
	if s.flags.json {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"old": old, "copies": bound, "sets": sets, "custodian_in_site": custodian,
			"still_in_site": still, "lab": s.flags.lab})
	}
	for _, b := range bound {
		what := "sealed to it alone"
		if b.Secrets {
			what = "the secrets in it are sealed to it alone"
		}
		if b.Share {
			what = "the secrets in it need its share: too few other custodians are left"
		}
		fmt.Printf("%s%-10s %-8s %-16s %s  %s: %s\n", lab, b.Copy.Target, b.Copy.Kind, b.Copy.Item,
			b.Copy.Taken.UTC().Format("2006-01-02 15:04Z"), b.Copy.ID, what)
	}
	for _, l := range sets {
		fmt.Printf("%sset %s loses the share of %s: %d custodians are left that site.star names, and %d are needed (%d copies)\n", lab, l.Set,
			l.Custodian, l.Left, l.Threshold, l.Copies)
	}
	fmt.Printf("%s%d copies need key %s\n", lab, len(bound), old)
	step := 1
	say := func(format string, args ...any) {
		fmt.Printf("%s  %d. %s\n", lab, step, fmt.Sprintf(format, args...))
		step++
	}
	if len(still) > 0 {
		say("runner recovery-key new, on another machine; put its recipient in the place of the old one in sealed_to of %s, and run the nightly",
			strings.Join(still, ", "))
	}
	if custodian != "" {
		say("%s makes a new key, and its recipient takes the place of the old one in custodian(...); run the policy that seals the secrets: "+
			"it makes a new set of shares", custodian)
	}
	say("runner recovery-key test, with the new key")
	if len(bound) > 0 {
		say("keep the old key and its sheet until retention has removed these copies, and then ask again")
		say("if the old key is known to others: whoever has it can read these copies; change what is in them (passwords, tokens), and destroy " +
			"the copies that you can do without")
		return nil
	}
	say("no copy needs the old key any more: destroy its sheet")
	return nil
}
