package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/neosofia/runner/builtins/site"

	"github.com/neosofia/runner/builtins"
	"github.com/spf13/cobra"
)

func secretCommand(f *flags) *cobra.Command {
	c := &cobra.Command{Use: "secret", Short: "set, list and remove what secret(\"name\") in site.star means", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(
		&cobra.Command{Use: "set NAME", Short: "store a secret: typed at a terminal without echo, else read from standard input",
			Args: oneArg("NAME"),
			RunE: func(c *cobra.Command, args []string) error {
				if err := site.CheckSecretName(args[0]); err != nil {
					return usage("%v", err)
				}
				return f.withKeyring(c.Context(), func(k *builtins.Keyring) error {
					value, err := readSecret(c.Context(), args[0])
					if err != nil {
						return err
					}
					defer clear(value)
					return k.Set(args[0], value)
				})
			}},
		&cobra.Command{Use: "list", Short: "list the names", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return f.withKeyring(c.Context(), func(k *builtins.Keyring) error {
					names, err := k.List()
					for _, n := range names {
						fmt.Println(n)
					}
					if err != nil {
						return err
					}
					stray, err := k.Stray()
					for _, x := range stray {
						fmt.Fprintf(os.Stderr, "%q in the keyring's folder is not an item: %s\n", x.File, x.Why)
					}
					return err
				})
			}},
		&cobra.Command{Use: "remove NAME", Short: "remove a secret", Args: oneArg("NAME"),
			RunE: func(c *cobra.Command, args []string) error {
				return f.withKeyring(c.Context(), func(k *builtins.Keyring) error { return k.Remove(args[0]) })
			}})
	return c
}

// withKeyring opens the keyring that the site names; without a site, the one in
// the state folder.
func (f *flags) withKeyring(ctx context.Context, fn func(*builtins.Keyring) error) (err error) {
	s, err := f.session()
	if err != nil {
		return err
	}
	defer s.done(&err)
	if f.lab {
		return f.labKeyring(s, fn)
	}
	var none *exit
	if err := s.openSite(""); err != nil && (f.site != "" || !errors.As(err, &none) || none.code != exitUsage) {
		return err // a site that is there and broken may name another keyring
	}
	return fn(s.keyring(ctx))
}

const maxSecret = 1 << 20

func readSecret(ctx context.Context, name string) ([]byte, error) {
	if !interactive() {
		value, err := io.ReadAll(io.LimitReader(os.Stdin, maxSecret+1))
		if err != nil {
			return nil, fmt.Errorf("read secret %s: %w", name, err)
		}
		if len(value) > maxSecret {
			return nil, fmt.Errorf("read secret %s: more than %d bytes", name, maxSecret)
		}
		return bytes.TrimSuffix(value, []byte("\n")), nil
	}
	value, err := askTwice(ctx, "secret "+name+": ")
	if err != nil {
		return nil, fmt.Errorf("set secret %s: %w; nothing was changed", name, err)
	}
	return value, nil
}
