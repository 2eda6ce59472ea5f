// Putting the page of a training run together.

const SECTIONS = [
  ["reward", "Reward", rewardSection], ["curves", "Curves", curvesSection], ["numbers", null, numbersSection], ["time", "Time", timeSection],
  ["step", "Step", stepSection], ["rollouts", "Rollouts", rolloutsSection], ["groups", "Groups", groupsSection], ["trouble", "Problems", troubleSection],
  ["settings", "Settings", settingsSection],
];

function render() {
  layOut(SECTIONS, { head: masthead(), note: "Times are local." });
}

const asked = /^#r-([0-9]{1,9})$/.exec(location.hash);
start(asked && Number(asked[1]) < ROLLOUTS.n ? Number(asked[1]) : -1, { pick });
