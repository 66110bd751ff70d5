#!/usr/bin/env bash
# Deploys the connector with the Azure CLI: looks first, asks before what cannot be undone, and ends when the app has
# collected once. See `deploy/deploy.sh --help`. Needs az, signed in, and python3.
set -euo pipefail
umask 077

# No code is run but bash, az, python3 and the system's own: not of the current folder, to which a PATH with `.` and
# Python's `-m` lead, and not of what lies about above this script. So everything is run from the root folder.
unset CDPATH
from=$PWD here=./${BASH_SOURCE[0]}
[[ ${BASH_SOURCE[0]} != /* ]] || here=${BASH_SOURCE[0]}
here=$(cd -- "${here%/*}" && pwd)
cd /
template=$here/azuredeploy.json
table_name=Jira_Audit_CL
table_api=2022-10-01       # https://learn.microsoft.com/rest/api/loganalytics/tables
permissions_api=2022-04-01 # https://learn.microsoft.com/rest/api/authorization/permissions
query_api=2018-04-20       # Application Insights' query API by way of Azure Resource Manager, which every cloud has
references_api=2022-03-01  # https://learn.microsoft.com/azure/app-service/app-service-key-vault-references

usage() {
    cat <<'END'
Deploys the Jira audit connector into a resource group of the current subscription (az account set chooses it).

  deploy/deploy.sh --resource-group NAME --workspace NAME --jira-url URL --username EMAIL [options]

  --resource-group NAME  where the connector goes; made if it is not there
  --workspace NAME|ID    the Log Analytics workspace of Microsoft Sentinel; its resource id if it is in another
                         subscription, or if the name is there twice
  --jira-url URL         https://contoso.atlassian.net
  --username EMAIL       whose API token it is; the account needs Jira's global permission Administer Jira

  --what-if              dry run: checks, says what would be done, shows Azure's own what-if; changes nothing
  --token-fd N           read the API token from file descriptor N
  --keep-token           an upgrade: the token that is in the vault stays
  --parameters FILE      further parameters of the template, as an ARM parameters file (schedule, plan, alerts ...)
  --package FILE         the code; default: dist/released-package.zip, if the template names no package itself
  --package-uri URI      or its address, from which this script fetches it; a premium plan runs it from there
  --package-sha256 HEX   what the package has to be; default: what the template of a release says of its own, or
                         FILE.sha256 beside --package FILE
  --location REGION      of a resource group that has to be made; default: the workspace's
  --alert-email ADDRESS  whom the alerts tell; default: alertEmail in --parameters, or nobody
  --migrate-table        yes to migrating a classic Jira_Audit_CL, which is one-way
  --no-wait              do not wait for the app's first run
  -h, --help             this

The API token is asked for without echo, or taken from the environment variable JIRA_API_TOKEN, or from --token-fd.
It is never an argument of any program and never printed.

Exit codes: 0 done, 1 failed or refused (the message says what to do), 2 the command line is wrong, 3 deployed, and
whether it runs cannot be seen.
END
}

say() { printf '%s\n' "$*"; }
refuse() { printf 'deploy.sh: %s\n' "$*" >&2 && exit 1; }
wrong() { printf 'deploy.sh: %s; --help says how\n' "$*" >&2 && exit 2; }

# The command line.

group='' workspace='' jira_url='' username='' token_fd='' keep_token='' parameters='' package='' package_uri=''
sha256='' alert_email='' location='' migrate='' what_if='' no_wait=''
while [ $# -gt 0 ]; do
    case $1 in
        --resource-group | --workspace | --jira-url | --username | --token-fd | --parameters | --package | \
            --package-uri | --package-sha256 | --alert-email | --location)
            [ $# -gt 1 ] || wrong "$1 needs a value"
            case $1 in
                --resource-group) group=$2 ;;
                --workspace) workspace=$2 ;;
                --jira-url) jira_url=$2 ;;
                --username) username=$2 ;;
                --token-fd) token_fd=$2 ;;
                --parameters) parameters=$2 ;;
                --package) package=$2 ;;
                --package-uri) package_uri=$2 ;;
                --package-sha256) sha256=$(tr A-F a-f <<<"$2") ;;
                --alert-email) alert_email=$2 ;;
                --location) location=$2 ;;
            esac
            shift 2
            ;;
        --what-if) what_if=yes && shift ;;
        --keep-token) keep_token=yes && shift ;;
        --migrate-table) migrate=yes && shift ;;
        --no-wait) no_wait=yes && shift ;;
        -h | --help) usage && exit 0 ;;
        *) wrong "there is no $1" ;;
    esac
done
[ -n "$group" ] || wrong "--resource-group is missing"
[ -z "$token_fd" ] || [[ $token_fd =~ ^[0-9]+$ ]] || wrong "--token-fd needs a number"
[ -z "$sha256" ] || [[ $sha256 =~ ^[0-9a-f]{64}$ ]] || wrong "--package-sha256 needs 64 hexadecimal digits"
[ -z "$package" ] || [ -z "$package_uri" ] || wrong "--package and --package-uri exclude each other"
# Files are named from where the script was started.
[ -z "$parameters" ] || [[ $parameters = /* ]] || parameters=$from/$parameters
[ -z "$package" ] || [[ $package = /* ]] || package=$from/$package
[ -z "$parameters" ] || [ -r "$parameters" ] || wrong "$parameters cannot be read"
[ -r "$template" ] || refuse "$template is missing: it belongs beside this script"
case ${OSTYPE:-} in
    # https://www.msys2.org/docs/filesystem-paths/: arguments that begin with / become Windows paths
    msys* | cygwin*) refuse "Git Bash changes resource ids into Windows paths: use https://shell.azure.com, or WSL" ;;
esac
for program in az python3; do
    command -v "$program" >/dev/null || refuse "$program is needed and not installed"
done

az() { # never reads what is typed for this script, and says only what went wrong
    command az "$@" --only-show-errors </dev/null
}

# az repeats its own calls, but not `az rest`: azure-cli 2.91.0, core/util.py, send_raw_request. Its errors begin with the
# reason of the HTTP status.
rest() {
    local attempt
    for attempt in 5 15 30 0; do
        az rest "$@" 2>"$temporary/rest" && return 0
        ((attempt > 0)) || break
        grep -qiE '^ERROR: (too many requests|internal server error|bad gateway|service unavailable|gateway time-?out)' \
            "$temporary/rest" || break
        sleep "$attempt"
    done
    cat "$temporary/rest" >&2
    return 1
}

# A trace (bash -x, SHELLOPTS=xtrace) would show the token, however it is given.
case $- in
    *x*)
        { set +x; } 2>/dev/null
        printf 'deploy.sh: from here on nothing is traced: the trace would show the API token\n' >&2
        ;;
esac
# From here on only a shell variable has the token: no program finds it in its environment.
token=${JIRA_API_TOKEN:-}
unset JIRA_API_TOKEN

temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
trap 'exit 130' INT TERM HUP

# Reading JSON, in Python: az needs it anyway.

# A table's columns: present, missing, of another type. The union with the template's goes to a file: a put with fewer
# columns than the table has would remove the others. Its plan and its own retention are put again unchanged; what
# follows the workspace keeps doing so.
look_at_table='
import json, sys
template, body, table = json.load(open(sys.argv[1])), sys.argv[2], json.load(sys.stdin)
ours = {each["name"]: each["type"] for each in template["variables"]["columns"]}
properties = table["properties"]
schema = properties["schema"]
kept = [{key: each[key] for key in ("name", "type", "displayName", "description", "dataTypeHint") if each.get(key)}
        for each in schema.get("columns") or []]
standard = {each["name"]: each["type"] for each in schema.get("standardColumns") or []}
there = standard | {each["name"]: each["type"] for each in kept}
named = {each["name"] for each in kept}
print("kind", schema.get("tableSubType") or "unknown")
for name, kind in ours.items():
    if name not in there:
        print("missing", name)
    elif there[name].lower() not in (kind.lower(), {"boolean": "bool"}.get(kind.lower())):
        print("wrong", name, there[name], kind)
union = kept + [{"name": name, "type": kind} for name, kind in ours.items() if name not in named]
put = {"schema": {"name": schema["name"], "columns": union}}
if properties.get("plan"):
    put["plan"] = properties["plan"]
for name in ("retentionInDays", "totalRetentionInDays"):
    if properties.get(name) and not properties.get(name + "AsDefault"):
        put[name] = properties[name]
json.dump({"properties": put}, open(body, "w"))
'

# What the caller may not do, of what is needed (actions with *, less notActions).
# https://learn.microsoft.com/azure/role-based-access-control/role-definitions#control-and-data-actions
lacking='
import fnmatch, json, sys
granted = json.load(sys.stdin)["value"]
def has(action, patterns):
    return any(fnmatch.fnmatchcase(action.lower(), each.lower()) for each in patterns or [])
for action in sys.argv[1:]:
    if not any(has(action, each.get("actions")) and not has(action, each.get("notActions")) for each in granted):
        print(action)
'

# The parameters file: the given one, overridden by the options. The token comes on standard input.
# shellcheck disable=SC2016
write_parameters='
import json, sys
given, file, pairs, token = sys.argv[1], sys.argv[2], sys.argv[3:], sys.stdin.read()
values = json.load(open(given))["parameters"] if given else {}
for pair in pairs:
    name, _, value = pair.partition("=")
    # An empty packageUri counts as well: what this script publishes, the template must not fetch.
    if value or name == "packageUri":
        values[name] = {"value": {"true": True, "false": False}.get(value, value)}
if token:
    values["jiraApiToken"] = {"value": token}
for name in ("jiraSiteUrl", "jiraUsername", "jiraApiToken"):
    values.setdefault(name, {"value": ""})
schema = "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#"
json.dump({"$schema": schema, "contentVersion": "1.0.0.0", "parameters": values}, open(file, "w"))
'

# A package, to a file. What it is, its digest says; only its size is bounded here.
fetch='
import sys, urllib.request
uri, file = sys.argv[1:]
if not uri.startswith("https://"):
    sys.exit(f"{uri} is no https address")
try:
    with urllib.request.urlopen(uri, timeout=60) as answer, open(file, "wb") as package:
        content = answer.read(200_000_001)
        package.write(content)
except (OSError, ValueError) as error:
    sys.exit(f"{uri}: {error}")
if len(content) > 200_000_000:
    sys.exit(f"{uri}: larger than 200 MB")
'

# One value of a parameters file, or the template'"'"'s default; whether there is one at all.
parameter() {
    python3 -I -c '
import json, sys
given = json.load(open(sys.argv[1]))["parameters"] if sys.argv[1] else {}
found = given.get(sys.argv[3]) or json.load(open(sys.argv[2]))["parameters"][sys.argv[3]]
print(found.get("value", found.get("defaultValue", "by reference" if "reference" in found else "")))
' "$parameters" "$template" "$1"
}

output() {
    python3 -I -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]]["value"])' \
        "$temporary/outputs.json" "$1"
}

# The way into Jira: one site by user name and token, one by a service account's OAuth client, or several sites.
jira_url=${jira_url:-$(parameter jiraSiteUrl)} username=${username:-$(parameter jiraUsername)}
alert_email=${alert_email:-$(parameter alertEmail)}
way=token
[ -z "$(parameter jiraOauthClientId)" ] || way=service
[ "$(parameter jiraSites)" = '[]' ] || way=several
if [ "$way" = several ]; then
    [ -z "$jira_url$username" ] || wrong "--jira-url and --username exclude jiraSites, which names each site's own"
elif [ -z "$jira_url" ]; then
    wrong "--jira-url is missing"
elif [ "$way" = service ]; then
    [ -z "$username" ] || wrong "--username excludes jiraOauthClientId: a service account has no user name"
else
    [ -n "$username" ] || wrong "--username is missing"
fi

# The account and the workspace.

# Flex Consumption: az 2.60. https://learn.microsoft.com/azure/azure-functions/flex-consumption-how-to
version=$(az version --query '"azure-cli"' --output tsv)
[[ $version =~ ^([0-9]+)\.([0-9]+) ]] || refuse "az does not say its version"
((BASH_REMATCH[1] > 2 || (BASH_REMATCH[1] == 2 && BASH_REMATCH[2] >= 60))) ||
    refuse "az is $version, and 2.60 or newer is needed: az upgrade"
subscription=$(az account show --query id --output tsv 2>"$temporary/error") ||
    refuse "az is not signed in: az login, and az account set --subscription ..."
if [[ $workspace != /* ]]; then
    type=Microsoft.OperationalInsights/workspaces
    if [ -z "$workspace" ]; then
        found=$(az resource list --resource-type "$type" --query '[].name' --output tsv)
        wrong "--workspace is missing; those of this subscription: ${found:-none}"
    fi
    found=$(az resource list --resource-type "$type" --name "$workspace" --query '[].id' --output tsv)
    [ -n "$found" ] || refuse "there is no workspace $workspace in this subscription: give its resource id"
    [[ $found != *$'\n'* ]] || refuse "there are several workspaces $workspace; give one's resource id:
$found"
    workspace=$found
fi
region=$(az resource show --ids "$workspace" --query location --output tsv) ||
    refuse "the workspace $workspace is not there, or may not be read"
say "Workspace: $workspace ($region)"

# The code: a file to publish, or an address. Whoever fetches checks: Azure compares no digest, and what is at an
# address can be replaced. Before any change, since a migration cannot be undone.

plan=$(parameter hostingPlan)
if [ -z "$package" ]; then
    package_uri=${package_uri:-$(parameter packageUri)}
    # The digest that the template of a release carries is of the package that it names.
    sha256=${sha256:-$(python3 -I -c '
import json, sys
template = json.load(open(sys.argv[1]))
named = template["parameters"]["packageUri"].get("defaultValue")
print(template.get("metadata", {}).get("packageSha256", "") if named == sys.argv[2] else "")
' "$template" "$package_uri")}
fi
if [ -n "$what_if" ]; then
    sha256='' # the template does not look at the code
elif [ -n "$package_uri" ] && [ -n "$sha256" ]; then
    package=$temporary/released-package.zip
    say "Fetching $package_uri"
    python3 -I -c "$fetch" "$package_uri" "$package" || refuse "the package was not fetched; nothing was changed"
elif [ -n "$package_uri" ] && [ "$plan" = flex ]; then
    wrong "--package-sha256 is missing: what the package at $package_uri has to be"
elif [ -n "$package_uri" ]; then
    say "Not checked: the app will run whatever is at $package_uri, at each start. Give --package-sha256."
else
    package=${package:-$here/../dist/released-package.zip}
    [ -r "$package" ] || refuse "there is no $package: make package builds it, or name a release's with --package-uri"
    [ "$plan" = flex ] || refuse "a premium plan takes its code from --package-uri"
    if [ -r "$package.sha256" ]; then
        beside=$(cut -d' ' -f1 "$package.sha256")
        [ "${sha256:-$beside}" = "$beside" ] || refuse "$package.sha256 does not say --package-sha256"
        sha256=$beside
    fi
fi
if [ -n "$sha256" ]; then
    sum=$(python3 -I -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' \
        "$package")
    [ "$sum" = "$sha256" ] || refuse "${package_uri:-$package} is not the package that it should be:
  SHA-256 $sum
  instead of $sha256
Nothing was changed."
fi
# What was checked is what is published. A premium plan has no way but the address, which it fetches at each start.
[ "$plan" != flex ] || package_uri=''

# The table, which is only looked at here. Types first: a migration cannot be undone, and a column's type can never
# change.

tables=$(parameter tables)
create_table=true create_v2_table=true classic=''
table="$workspace/tables/$table_name?api-version=$table_api"
there=$(rest --method get --uri "$workspace/tables?api-version=$table_api" --query 'value[].name' --output tsv) ||
    refuse "the tables of $workspace cannot be read"
grep -qx Jira_Audit_v2_CL <<<"$there" && create_v2_table=false
grep -qx "$table_name" <<<"$there" && create_table=false

look() { # sets kind, missing and different
    rest --method get --uri "$table" >"$temporary/table.json" || refuse "the table $table_name cannot be read"
    python3 -I -c "$look_at_table" "$template" "$temporary/union.json" \
        <"$temporary/table.json" >"$temporary/look.txt"
    kind=$(awk '$1 == "kind" { print $2 }' "$temporary/look.txt")
    missing=$(awk '$1 == "missing" { print $2 }' "$temporary/look.txt" | paste -sd ' ' -)
    different=$(awk '$1 == "wrong" { print "  " $2 " is " $3 ", and has to be " $4 }' "$temporary/look.txt")
}

missing=''
if [ "$create_table" = false ] && [ "$tables" != v2 ]; then
    look
    [ -z "$different" ] || refuse "columns of $table_name have another type, which can never change:
$different
The connector cannot fill this table. Nothing was changed."
    if [ "$kind" = Classic ]; then
        classic=yes
        say "$table_name is a classic table: the Logs Ingestion API cannot fill it before it is migrated. Rows, columns,
rules and queries stay. The migration is one-way: there is no way back to a classic table. Stop the old connector's
Function App first; docs/migrate.md says why and what to look at."
        if [ -z "$migrate" ] && [ -z "$what_if" ] && [ -t 0 ]; then
            read -rp "Migrate it, once everything else was looked at? Type the table's name for yes: " answer
            [ "$answer" = "$table_name" ] && migrate=yes
        fi
        [ -n "$migrate$what_if" ] || refuse "not migrated, and nothing was changed; --migrate-table says yes"
    fi
fi

# What the caller may do, in every scope that is written to. Azure checks a deployment and those nested in it as a whole:
# one write that is not allowed, and nothing is deployed.

: >"$temporary/lacking.txt"
may() { # scope actions...
    local scope=$1
    shift
    rest --method get --uri "$scope/providers/Microsoft.Authorization/permissions?api-version=$permissions_api" \
        >"$temporary/permissions.json" || refuse "what you may do in $scope cannot be read"
    python3 -I -c "$lacking" "$@" <"$temporary/permissions.json" | sed "s|^|  $scope: |" >>"$temporary/lacking.txt"
}

in_subscription=/subscriptions/$subscription in_group=/subscriptions/$subscription/resourcegroups/$group
exists=$(az group exists --name "$group")
if [ "$exists" != true ]; then
    [ -z "$what_if" ] || refuse "what-if needs the resource group: az group create --name $group --location $region"
    may "$in_subscription" Microsoft.Resources/subscriptions/resourceGroups/write
    in_group=$in_subscription # what is granted there holds in a new group
fi
alerts=$(parameter alerts) insights=$(parameter applicationInsightsResourceId)
# Held to the template by a test.
connector=(
    Microsoft.Authorization/roleAssignments/write
    Microsoft.Insights/dataCollectionRules/write
    Microsoft.Insights/diagnosticSettings/write
    Microsoft.KeyVault/vaults/write
    Microsoft.KeyVault/vaults/secrets/write
    Microsoft.ManagedIdentity/userAssignedIdentities/write
    Microsoft.ManagedIdentity/userAssignedIdentities/assign/action
    Microsoft.Resources/deployments/write
    Microsoft.Storage/storageAccounts/write
    Microsoft.Storage/storageAccounts/blobServices/write
    Microsoft.Storage/storageAccounts/blobServices/containers/write
    Microsoft.Storage/storageAccounts/managementPolicies/write
    Microsoft.Web/serverfarms/write
    Microsoft.Web/sites/write
    Microsoft.Web/sites/basicPublishingCredentialsPolicies/write
    Microsoft.Web/sites/extensions/write
)
[ "$alerts" != True ] || connector+=(Microsoft.Insights/scheduledQueryRules/write)
[ "$alerts" != True ] || [ -z "$alert_email" ] || connector+=(Microsoft.Insights/actionGroups/write)
[ -n "$insights" ] || connector+=(Microsoft.Insights/components/write)
subnet=$(parameter outboundSubnetResourceId) closed=$(parameter privateEndpointSubnetResourceId) zones=''
if [ -n "$closed" ]; then
    [ -n "$subnet" ] || wrong "privateEndpointSubnetResourceId needs outboundSubnetResourceId: the app's way to it"
    zones=$(parameter privateDnsZoneResourceIds | grep -o "/subscriptions/[^'\"]*" || true)
    connector+=(Microsoft.Network/privateEndpoints/write)
    [ -z "$zones" ] || connector+=(Microsoft.Network/privateEndpoints/privateDnsZoneGroups/write)
fi
may "$in_group" "${connector[@]}"
for each in $subnet $closed; do may "$each" Microsoft.Network/virtualNetworks/subnets/join/action; done
for each in $zones; do may "$each" Microsoft.Network/privateDnsZones/join/action; done
if [ -n "$insights" ]; then
    may "$insights" Microsoft.Authorization/roleAssignments/write
    may "${insights%%/providers/*}" Microsoft.Resources/deployments/write
fi
watched=()
if { [ "$create_table" = true ] && [ "$tables" != v2 ]; } || [ -n "$missing" ] ||
    { [ "$create_v2_table" = true ] && [ "$tables" != classic ]; }; then
    watched+=(Microsoft.OperationalInsights/workspaces/tables/write)
fi
[ -z "$classic" ] || watched+=(Microsoft.OperationalInsights/workspaces/tables/migrate/action)
[ "$(parameter savedQueries)" != True ] || watched+=(Microsoft.OperationalInsights/workspaces/savedSearches/write)
# Sentinel is not in Azure China any more, and the template makes no card there.
[ "$(parameter connectorCard)" != True ] ||
    [ "$(az account show --query environmentName --output tsv)" = AzureChinaCloud ] ||
    watched+=(Microsoft.SecurityInsights/dataConnectorDefinitions/write)
[ "$(parameter auditWorkspace)" != True ] || [ "$tables" = v2 ] ||
    watched+=(Microsoft.Authorization/roleAssignments/write)
if [ "${#watched[@]}" -gt 0 ]; then
    may "$workspace" "${watched[@]}"
    may "${workspace%%/providers/*}" Microsoft.Resources/deployments/write
fi
[ ! -s "$temporary/lacking.txt" ] || refuse "you lack permissions, and nothing was changed:
$(cat "$temporary/lacking.txt")
Ask on the workspace's resource group for Log Analytics Contributor
and Microsoft Sentinel Contributor, or set connectorCard to false in --parameters,
and with auditWorkspace for Role Based Access Control Administrator;
on the connector's, and on that of an existing Application Insights, for Owner,
or for Contributor and Role Based Access Control Administrator;
on that of a subnet or private DNS zone that you give, for Network Contributor.
docs/deploy.md has the table."

# The resource providers that the deployment needs. Azure registers those of a template itself, if the caller may.
# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-providers-and-types

if registered=$(az provider list --query "[?registrationState=='Registered'].namespace" --output tsv 2>"$temporary/error"); then
    unregistered=()
    for each in $(printf '%s\n' "${connector[@]}" | sed 's|/.*||' | sort -u); do
        grep -qix "$each" <<<"$registered" || unregistered+=("$each/register/action")
    done
    [ "${#unregistered[@]}" = 0 ] || may "$in_subscription" "${unregistered[@]}"
    [ ! -s "$temporary/lacking.txt" ] || refuse "resource providers are not registered, which you may not do; \
nothing was changed. Ask the subscription's owner for:
$(sed 's|.* \(.*\)/register/action|  az provider register --wait --namespace \1|' "$temporary/lacking.txt")"
else
    say "Whether the resource providers are registered you may not look up: $(tail -n 1 "$temporary/error")"
fi

# Where the app goes. A plan that a region does not offer fails only after storage and vault were made.

where=$(parameter location)
if [[ $where == '['* ]]; then
    where=${location:-$region}
    [ "$exists" != true ] || where=$(az group show --name "$group" --query location --output tsv)
fi
where=$(tr -d ' ' <<<"$where" | tr '[:upper:]' '[:lower:]')
if [ "$plan" = flex ]; then
    if ! regions=$(az functionapp list-flexconsumption-locations --query '[].name' --output tsv 2>"$temporary/error"); then
        # Roles on resource groups do not allow it: the regions are the subscription's.
        grep -qi authorizationfailed "$temporary/error" || refuse "the regions of Flex Consumption cannot be read:
$(tail -n 3 "$temporary/error")"
        say "Whether Flex Consumption is offered in $where you may not look up: $(tail -n 1 "$temporary/error")"
        regions=$where
    fi
    grep -qix "$where" <<<"${regions// /}" || refuse "Flex Consumption is not offered in $where, and nothing was changed.
Give another location in --parameters, or hostingPlan premium. It is offered in:
${regions:-no region of this cloud}"
    # https://learn.microsoft.com/azure/azure-functions/flex-consumption-how-to#enable-virtual-network-integration
    if [ -n "$subnet" ]; then
        [ "$(az provider show --namespace Microsoft.App --query registrationState --output tsv)" = Registered ] ||
            refuse "a subnet of a Flex app needs a provider registered: az provider register --namespace Microsoft.App --wait"
    fi
fi

# The token. A dry run needs none: the template does not read it.

if [ -n "$what_if" ] || [ -n "$keep_token" ] || [ "$way" != token ]; then
    token='' # other ways have their secrets in --parameters
elif [ -n "$token_fd" ]; then
    IFS= read -r token <&"$token_fd" || [ -n "$token" ] || refuse "there is no token on file descriptor $token_fd"
elif [ -z "$token" ] && [ -z "$(parameter jiraApiToken 2>/dev/null)" ]; then
    [ -t 0 ] || refuse "no API token: set JIRA_API_TOKEN, or use --token-fd, or --keep-token for the one in the vault"
    IFS= read -rsp "API token of $username (not shown): " token
    printf '\n'
    [ -n "$token" ] || refuse "no API token was given; --keep-token keeps the one in the vault"
fi
# printf is a builtin: no program has the token as its argument.
printf '%s' "$token" | python3 -I -c "$write_parameters" "$parameters" "$temporary/parameters.json" \
    "workspaceResourceId=$workspace" "jiraSiteUrl=$jira_url" "jiraUsername=$username" \
    "createTable=$create_table" "createV2Table=$create_v2_table" "packageUri=$package_uri" \
    "alertEmail=$alert_email"

# The deployment, looked at by Azure before anything is changed that cannot be undone.

arguments=(--resource-group "$group" --name jira-audit --template-file "$template")
arguments+=(--parameters "@$temporary/parameters.json")
if [ -n "$what_if" ]; then
    [ -z "$classic" ] || say "Would migrate $table_name."
    [ -z "$missing" ] || say "Would add to $table_name, every other column staying: $missing"
    az deployment group what-if "${arguments[@]}"
    say "Dry run: nothing was changed."
    exit 0
fi
if [ "$exists" != true ]; then
    az group create --name "$group" --location "${location:-$region}" --output none ||
        refuse "the resource group $group was not made, and nothing was changed"
    say "Made the resource group $group in ${location:-$region}."
fi
az deployment group validate "${arguments[@]}" --query 'properties.validatedResources[].id' --output tsv \
    >"$temporary/resources.txt" || refuse "Azure refuses the deployment (above), and nothing was changed in $group"

# A vault deleted with its group keeps its name: the deployment would fail at it, after half of it was made.
vault=$(grep -io '/providers/Microsoft\.KeyVault/vaults/[^/]*$' "$temporary/resources.txt" | sed 's|.*/||' || true)
if [ -n "$vault" ]; then
    deleted=$(az keyvault list-deleted --resource-type vault --query "[?name=='$vault'].properties.location" \
        --output tsv 2>"$temporary/error") ||
        say "Whether a deleted vault has the name $vault cannot be looked at: $(tail -n 1 "$temporary/error")"
    [ -z "$deleted" ] || refuse "a deleted Key Vault still has the name $vault. Recover it, with its secrets:
  az keyvault recover --name $vault --location $deleted
and run this again, or give another keyVaultName in --parameters."
fi

# The table's migration, which cannot be undone, and its columns: after all that can refuse.

if [ -n "$classic" ]; then
    rest --method post --uri "$workspace/tables/$table_name/migrate?api-version=$table_api" >/dev/null
    for ((attempt = 0; attempt < 20; attempt++)); do
        look
        [ "$kind" = Classic ] || break
        sleep 30
    done
    [ "$kind" != Classic ] || refuse "the migration was accepted and has not ended; run this again later"
    say "$table_name is migrated."
fi
if [ -n "$missing" ]; then
    say "Adding to $table_name, every other column staying: $missing"
    rest --method put --uri "$table" --headers Content-Type=application/json \
        --body "@$temporary/union.json" >/dev/null
    for ((attempt = 0; attempt < 20; attempt++)); do
        look
        [ -n "$missing" ] || break
        sleep 30
    done
    [ -z "$missing" ] || refuse "$table_name still lacks $missing: what is sent there would be dropped silently"
    [ -z "$different" ] || refuse "columns of $table_name have another type:
$different"
fi

say "Deploying into $group; this takes some minutes."
for ((attempt = 1; ; attempt++)); do
    az deployment group create "${arguments[@]}" --query properties.outputs --output json \
        >"$temporary/outputs.json" 2>"$temporary/error" && break
    if ((attempt == 30)) || ! grep -q DeploymentActive "$temporary/error"; then
        cat "$temporary/error" >&2
        refuse "the deployment failed (above). What was made stays; run this again, and it goes on from there"
    fi
    say "An earlier deployment, perhaps one that was interrupted, is still being carried out; waiting for it."
    sleep 60
done
app=$(output functionAppName)

# A new role takes up to 30 minutes; until then storage and the rule answer 403.
# https://learn.microsoft.com/azure/role-based-access-control/troubleshooting
if [ "$plan" = flex ]; then
    say "Publishing $package"
    for ((attempt = 1; ; attempt++)); do
        az functionapp deployment source config-zip --resource-group "$group" --name "$app" --src "$package" \
            --build-remote false --output none 2>"$temporary/error" && break
        # What az asks of the host after it has published: the host's own role may not be in force yet.
        # azure-cli 2.91.0, appservice/custom.py: "Deployment was successful but the app appears to be unhealthy"
        if grep -qiE 'app appears to be unhealthy|failed to fetch host key' "$temporary/error"; then
            say "The code is published; the app does not answer yet."
            break
        fi
        # Why it failed, az reads from the app's publishing log, and fails with its own error where that is not there yet:
        # show_deployment_log, in the same file.
        if ((attempt == 30)) ||
            ! grep -qiE '403|forbidden|AuthorizationPermissionMismatch|failed to connect' "$temporary/error"; then
            cat "$temporary/error" >&2
            refuse "the code was not published; run this again with --keep-token"
        fi
        say "The app may not write its package yet; trying again in a minute."
        sleep 60
    done
fi

# `check` is for the caller to run: this script runs no Python code that lies beside or above it.
explain_check() {
    say "To check with your own rights, which may be fewer than the app's, from a machine that has the connector
(pip install -e '.[terminal]'):"
    printf '  export %s\n' "DATA_COLLECTION_ENDPOINT=$(output dataCollectionEndpoint)" \
        "LOGS_DCR_RULE_ID=$(output dataCollectionRuleId)" \
        "AzureWebJobsStorage__accountName=$(output storageAccountName)" \
        "JIRA_SITE_URL=$jira_url" "JIRA_USERNAME=$username"
    say "  read -rs JIRA_API_TOKEN && export JIRA_API_TOKEN && jira-audit check"
}

# The app's first run tests its roles, the vault, Jira, the rule and storage at once. Only a run that began after the code
# was there counts: until then an older version may have run, and well. Application Insights itself is asked: it may be on
# another workspace than the table.
if [ -z "$no_wait" ]; then
    began=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    insights=$(output applicationInsightsId)
    references="/subscriptions/$subscription/resourceGroups/$group/providers/Microsoft.Web/sites/$app/config"
    references+="/configreferences/appsettings/refresh?api-version=$references_api"
    query="requests | where timestamp > datetime($began) and cloud_RoleName =~ '$app' and name =~ 'poll'
| join kind=leftouter (
union isfuzzy=true (datatable(timestamp: datetime, cloud_RoleName: string, operation_Id: string, outerMessage: string)[]),
exceptions | where timestamp > datetime($began) and cloud_RoleName =~ '$app'
| summarize Said = take_any(outerMessage) by operation_Id) on operation_Id
| top 1 by timestamp | project Success = tobool(success), Said"
    python3 -I -c 'import json, sys; json.dump({"query": sys.argv[1]}, open(sys.argv[2], "w"))' \
        "$query" "$temporary/query.json"
    say "Waiting for the app's first run to succeed. New roles take up to 30 minutes, and logs some minutes more;
until then runs may fail with 403, and lose nothing: the next one goes on. It is safe to interrupt this."
    told='' run=none refresh_at=0
    for ((attempt = 0; attempt < 45; attempt++)); do
        if ! rest --method post --uri "$insights/query?api-version=$query_api" \
            --headers Content-Type=application/json --body "@$temporary/query.json" \
            >"$temporary/rows.json" 2>"$temporary/error"; then
            if grep -qiE 'bad ?request|forbidden|authorizationfailed|insufficientaccess' "$temporary/error"; then
                run=unknown # the same question gets the same answer
                break
            fi
            printf '{}' >"$temporary/rows.json"
        fi
        read -r run said < <(python3 -I -c '
import json, sys
tables = json.load(sys.stdin).get("tables") or [{}]
row = (tables[0].get("rows") or [[None, ""]])[0]
print({True: "ok", False: "failed"}.get(row[0], "none"), " ".join((row[1] or "").split()))
' <"$temporary/rows.json") || true
        [ "$run" != ok ] || break
        if [ -n "$said" ] && [ "$said" != "$told" ]; then say "The app says: $said" && told=$said; fi
        # What did not resolve is not asked for again for 24 hours, unless somebody says so.
        if [[ $said == *'Key Vault reference that did not resolve'* ]] && ((attempt >= refresh_at)); then
            refresh_at=$((attempt + 5))
            say "Asking Azure to resolve the Key Vault references again."
            rest --method post --uri "$references" >/dev/null 2>"$temporary/error" ||
                say "Azure did not: $(tail -n 1 "$temporary/error")"
        fi
        sleep 60
    done
fi
explain_check
if [ "$alerts" = True ] && [ -z "$alert_email" ] && [ "$(parameter alertActionGroupIds)" = '[]' ]; then
    say "The alerts tell nobody: --alert-email, or alertActionGroupIds in --parameters, says whom."
fi
case ${run:-unwatched} in
    ok) say "Done: $app has run, and collects from now on." ;;
    unwatched) say "Done: $app is deployed; its first run was not waited for." ;;
    failed) refuse "$app is deployed, but its runs fail${told:+: $told}" ;;
    unknown)
        printf 'deploy.sh: %s is deployed; whether it runs cannot be seen, since %s may not be queried:\n%s\n' \
            "$app" "$insights" "$(tail -n 3 "$temporary/error")" >&2
        exit 3
        ;;
    *) refuse "$app is deployed, but no run of it was seen in 45 minutes: look at its functions in the portal" ;;
esac
