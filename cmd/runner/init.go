package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/neosofia/runner/builtins/newsite"

	"github.com/neosofia/runner/builtins"
	bundled "github.com/neosofia/runner/policies"
	"github.com/spf13/cobra"
)

const defaultSite = "/etc/runner"

func initCommand(f *flags) *cobra.Command {
	var w newsite.Wish
	c := &cobra.Command{
		Use: "init [DIR]", Short: "write a first site.star and its policies from what this machine has", Args: cobra.MaximumNArgs(1),
		Long: "init looks at this machine, reading only: whether it is a Proxmox VE node, with which guests, storages and backup jobs; " +
			"which disks are mounted, with UUID and serial number; whether ReaR, nftables and the journal are there. " +
			"It writes site.star and the policies into DIR (default /etc/runner), with the reason beside each guess, and prints what is left to " +
			"do. " +
			"A file that is there is never overwritten.\n\n" +
			"Any Linux machine will do: --save names what is to be saved, --to a folder on another disk that holds the copies.",
		Example: "  runner init --save /srv --save /home --to /mnt/backup",
		RunE: func(c *cobra.Command, args []string) error {
			if f.lab {
				return usage("the lab has a site of its own: runner lab site")
			}
			dir := defaultSite
			if len(args) == 1 {
				dir = args[0]
			}
			var err error
			if w.Dir, err = filepath.Abs(dir); err != nil {
				return err
			}
			for _, list := range [][]string{w.Save, w.To} {
				for i := range list {
					if list[i], err = filepath.Abs(list[i]); err != nil {
						return err
					}
				}
			}
			if w.Program, err = os.Executable(); err != nil {
				return fmt.Errorf("find the program itself: %w", err)
			}
			w.Root, w.Device = os.Geteuid() == 0, builtins.SystemDevice
			m, err := newsite.LookAround(c.Context(), w)
			if err != nil {
				return usage("%v", err)
			}
			files, err := m.Files(bundled.Files)
			if err != nil {
				return err
			}
			if err := writeSite(w.Dir, files); err != nil {
				return err
			}
			return f.printSite(m, w.Dir, files)
		},
	}
	c.Flags().StringArrayVar(&w.Save, "save", nil, "folder or file of this machine that is saved; may be given several times")
	c.Flags().StringArrayVar(&w.To, "to", nil, "folder that holds copies, on a disk of its own; may be given several times")
	c.Flags().StringSliceVar(&w.Without, "without", nil, "leave out what was found: "+strings.Join(newsite.Parts, ", "))
	return c
}

// writeSite writes all of the files, or none where one is there already.
func writeSite(dir string, files []newsite.File) (err error) {
	var there []string
	for _, file := range files {
		if _, err := os.Lstat(filepath.Join(dir, file.Name)); err == nil {
			there = append(there, file.Name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return usage("look into %s: %v", dir, err)
		}
	}
	if len(there) > 0 {
		return usage("%s has %s already, and nothing is overwritten\nhint: runner init OTHERDIR writes elsewhere, to compare",
			dir, strings.Join(there, ", "))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return usage("make the folder of the site: %v", err)
	}
	for _, file := range files {
		if err := writeNew(filepath.Join(dir, file.Name), file.Text); err != nil {
			return err
		}
	}
	return nil
}

func (f *flags) printSite(m *newsite.Machine, dir string, files []newsite.File) error {
	todo := m.ToDo(dir)
	if f.json {
		var names []string
		for _, file := range files {
			names = append(names, filepath.Join(dir, file.Name))
		}
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"machine": m, "files": names, "todo": todo})
	}
	for _, line := range m.Found() {
		fmt.Println(plain(line))
	}
	var others []string
	for _, file := range files[1:] {
		others = append(others, file.Name)
	}
	fmt.Printf("wrote    %s\nwrote    beside it: %s\n", filepath.Join(dir, files[0].Name), strings.Join(others, ", "))
	fmt.Println("\nnext, in this order:")
	for i, step := range todo {
		fmt.Printf("%2d. %s\n", i+1, strings.ReplaceAll(plain(step), "\n", "\n    "))
	}
	return nil
}
