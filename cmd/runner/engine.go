package main

import (
	"github.com/spf13/cobra"

	"github.com/neosofia/runner/builtins/cloudstore"
)

// engineCommand is this program as the process that speaks with one store: runner starts
// it, nobody types it.
func engineCommand() *cobra.Command {
	return &cobra.Command{Use: cloudstore.EngineVerb, Short: "speak with one store, for runner itself", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if code := cloudstore.Engine(); code != 0 {
				return &exit{code, nil}
			}
			return nil
		}}
}
