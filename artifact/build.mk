# `sam build` calls build-NAME for every function and layer of template.yaml whose BuildMethod is makefile,
# with ARTIFACTS_DIR set. By hand: make build-ManualApprovalFunction ARTIFACTS_DIR=/some/empty/folder

UV ?= $(or $(wildcard .uv/bin/uv),uv)

# They are built side by side: `setup` (in the Makefile) brings the environment up to date under a lock, and
# nothing changes it while another build runs in it.
build-%Function build-%Layer: setup
	@$(UV) run --no-sync --quiet python -m artifact.build "$(@:build-%=%)" --to "$(ARTIFACTS_DIR)" --uv "$(UV)"
