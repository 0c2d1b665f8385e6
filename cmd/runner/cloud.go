package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/builtins/cloudstore"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/runtime/words"
)

const cloudHelp = `cloud logs in to stores that somebody else keeps.

  runner cloud login offsite --client-id ID --tenant COMPANY
      log in to OneDrive for the target offsite of site.star: the code that is
      printed is typed in a browser, on any machine
  runner cloud import REMOTE --secret NAME
      take a remote of rclone.conf, for a target with login = secret("NAME")

The login goes into the keyring, as the secret that the target names. A recovery
on a bare machine takes it from a file: runner cloud login --out FILE ...`

func cloudCommand(f *flags) *cobra.Command {
	c := &cobra.Command{Use: "cloud", Short: "log in to OneDrive and other stores", Long: cloudHelp, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(cloudLogin(f), cloudImport(f))
	return c
}

func cloudLogin(f *flags) *cobra.Command {
	var o cloudstore.OneDrive
	var out string
	c := &cobra.Command{Use: "login [TARGET]", Short: "log in to OneDrive by a code that is typed in a browser",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if (len(args) == 0) == (out == "") {
				return usage("name a target of site.star, or a file with --out\nhint: %s --help", c.CommandPath())
			}
			if out != "" {
				login, err := logIn(c.Context(), f, o, nil)
				if err != nil {
					return err
				}
				return writeLogin(out, login)
			}
			return f.withLogin(c.Context(), args[0], func(k *builtins.Keyring, name string) error {
				var have *cloudstore.Login
				if raw, err := k.Get(c.Context(), name); err == nil {
					if l, err := cloudstore.Parse(raw); err == nil {
						have = &l
					}
					clear(raw)
				} else if !errors.Is(err, builtins.ErrNoSecret) {
					return err
				}
				login, err := logIn(c.Context(), f, o, have)
				if err != nil {
					return err
				}
				if err := k.Set(name, login.Encode()); err != nil {
					return err
				}
				fmt.Printf("kept in the keyring as secret %s\n", name)
				return nil
			})
		}}
	c.Flags().StringVar(&o.ClientID, "client-id", "", "id of the app registration; left out: that of the login before")
	c.Flags().StringVar(&o.Tenant, "tenant", "", "the company's tenant, or consumers for a personal account; left out: that of the login "+
		"before")
	c.Flags().StringVar(&o.Site, "site-url", "", "a SharePoint site, instead of the person's own drive: "+
		"https://COMPANY.sharepoint.com/sites/NAME")
	c.Flags().StringVar(&out, "out", "", "write the login into a file of mode 0600 instead of the keyring: for a recovery on a bare machine")
	return c
}

// logIn logs in, with what the login before said where nothing else is said.
func logIn(ctx context.Context, f *flags, o cloudstore.OneDrive, before *cloudstore.Login) (cloudstore.Login, error) {
	if before != nil && o.ClientID == "" {
		o.ClientID = before.Options["client_id"]
	}
	if before != nil && o.Tenant == "" {
		o.Tenant = before.Options["tenant"]
	}
	if o.ClientID == "" {
		return cloudstore.Login{}, usage("--client-id is missing: the README says how to register the app, in five steps")
	}
	if o.Tenant == "" {
		o.Tenant = "common"
	}
	world, done, err := f.cloudWorld(ctx)
	if err != nil {
		return cloudstore.Login{}, err
	}
	defer done()
	login, account, err := o.LogIn(ctx, world, func(uri, code string) {
		fmt.Printf("open   %s   in a browser, on any machine\ntype   %s\nwaiting …\n", plain(uri), plain(code))
	})
	if err != nil {
		return cloudstore.Login{}, err
	}
	fmt.Printf("logged in as %s: %s drive", plain(account.Owner), plain(account.Kind))
	if account.Total > 0 {
		fmt.Printf(", %s free of %s", words.Size(account.Free), words.Size(account.Total))
	}
	fmt.Println()
	return login, nil
}

// cloudWorld is how stores are reached: through the lab, or as they are.
func (f *flags) cloudWorld(ctx context.Context) (cloudstore.World, func(), error) {
	if !f.lab {
		return cloudstore.World{}, func() {}, nil
	}
	s, err := f.session()
	if err != nil {
		return cloudstore.World{}, nil, err
	}
	end := func() {
		var none error
		s.done(&none)
	}
	if err := s.openLabWorld(ctx); err != nil {
		end()
		return cloudstore.World{}, nil, err
	}
	return cloudstore.World{Dial: s.lab.Dial, Roots: lab.Roots()}, end, nil
}

// writeLogin makes a file that nobody else reads; one that is there is kept.
func writeLogin(path string, login cloudstore.Login) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the login: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.Write(login.Encode()); err != nil {
		return fmt.Errorf("write the login: %w", err)
	}
	fmt.Printf("written to %s: who has it has the account's files\n", path)
	return file.Sync()
}

func cloudImport(f *flags) *cobra.Command {
	var config, secret, out string
	c := &cobra.Command{Use: "import REMOTE", Short: "take a remote of an rclone.conf", Args: oneArg("REMOTE"),
		RunE: func(c *cobra.Command, args []string) error {
			if (secret == "") == (out == "") {
				return usage("name the secret that it becomes with --secret, or a file with --out")
			}
			if secret != "" {
				if err := site.CheckSecretName(secret); err != nil {
					return usage("%v", err)
				}
			}
			login, err := readConf(config, args[0])
			if err != nil {
				return err
			}
			scheme := "cloud"
			if login.Kind == "onedrive" || login.Kind == "webdav" {
				scheme = login.Kind
			}
			if out != "" {
				return writeLogin(out, login)
			}
			return f.withKeyring(c.Context(), func(k *builtins.Keyring) error {
				if err := k.Set(secret, login.Encode()); err != nil {
					return err
				}
				fmt.Printf("kept in the keyring as secret %s; in site.star:\n  target(name = …, url = \"%s:///FOLDER\", login = secret(%q), …)\n",
					secret,
					scheme, secret)
				return nil
			})
		}}
	c.Flags().StringVar(&config, "config", "", "the rclone.conf, - for standard input; left out: rclone's own place")
	c.Flags().StringVar(&secret, "secret", "", "name of the secret in the keyring")
	c.Flags().StringVar(&out, "out", "", "write the login into a file of mode 0600 instead")
	return c
}

func readConf(path, remote string) (cloudstore.Login, error) {
	var r io.Reader = os.Stdin
	if path == "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return cloudstore.Login{}, err
		}
		path = filepath.Join(dir, "rclone", "rclone.conf")
	}
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return cloudstore.Login{}, fmt.Errorf("read rclone's configuration: %w", err)
		}
		defer file.Close()
		r = file
	}
	login, err := cloudstore.Import(r, remote)
	if err != nil {
		return login, fmt.Errorf("read %s: %w", path, err)
	}
	return login, nil
}

// withLogin opens the keyring and names the secret that holds the login of a target.
func (f *flags) withLogin(ctx context.Context, target string, fn func(k *builtins.Keyring, secret string) error) (err error) {
	s, err := f.session()
	if err != nil {
		return err
	}
	defer s.done(&err)
	if err := s.openSite(""); err != nil {
		return err
	}
	t, err := s.site.Target(target)
	if err != nil {
		return err
	}
	if t.Login.Name == "" || t.Place.Name != "onedrive" {
		return usage("target %s is %s: runner cloud login is for onedrive:///…", target, t.URL)
	}
	if f.lab {
		return f.labKeyring(s, func(k *builtins.Keyring) error { return fn(k, t.Login.Name) })
	}
	return fn(s.keyring(ctx), t.Login.Name)
}

// keepLogin writes a login that the store changed back into its file. Where that cannot
// be, a recovery goes on: the one in the file still opens the store, for as long as its
// vendor lets it.
func (r recoverFlags) keepLogin(login []byte) error {
	draft := r.login + ".new"
	err := os.WriteFile(draft, login, 0o600)
	if err == nil {
		err = os.Rename(draft, r.login)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "runner: the store changed the login, and it could not be written back: %v\n", err)
	}
	return nil
}
